"""The one table of statuses against the SDK's own lists: a new foreign value fails here first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from openai.types import Batch, FileObject
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from broker.providers.openai_tuning.progress import remote_event, result_content
from broker.providers.openai_tuning.readings import status
from broker.providers.openai_tuning.statuses import BATCH_ENDS, FILE_READY, JOB_STATES

if TYPE_CHECKING:
    from pydantic import BaseModel

    from broker.providers.foreign_json import Item


def words(model: type[BaseModel], field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))


def test_every_status_of_a_job_is_known() -> None:
    assert words(FineTuningJob, "status") <= set(JOB_STATES)
    assert "paused" in JOB_STATES  # the live service sends it, the SDK does not list it


def test_every_status_of_a_batch_is_known() -> None:
    assert words(Batch, "status") == set(BATCH_ENDS)


def test_every_status_of_a_file_is_known() -> None:
    assert words(FileObject, "status") <= set(FILE_READY)


def test_the_levels_of_events_are_plain_words() -> None:
    assert words(FineTuningJobEvent, "level") == {"info", "warn", "error"}


@pytest.mark.parametrize(
    "item",
    [
        {"id": "j", "status": "running"},
        {"id": "j", "status": "failed", "error": None},
        {"id": "j", "status": "failed", "error": {"code": None, "message": None}},
        {"id": "j", "status": "succeeded", "fine_tuned_model": None, "hyperparameters": None, "finished_at": "soon"},
        {"id": "j", "status": "succeeded", "fine_tuned_model": 5, "trained_tokens": "many", "result_files": None},
        {"id": "j", "status": None, "error": [], "hyperparameters": []},
        {"id": "j", "status": "succeeded", "finished_at": 1e30},
    ],
)
def test_jobs_with_missing_or_odd_fields_are_read(item: Item) -> None:
    read = status(item, account="a", cost=lambda _model, _tokens: None, censor=str)
    assert read.raw == str(item["status"])
    assert read.model is None


@pytest.mark.parametrize(
    ("item", "data"),
    [
        ({"type": "metrics", "data": {"step": 3, "train_loss": 0.5}, "message": ""}, {"step": 3, "loss": 0.5}),
        (
            {"type": "message", "data": None, "message": "Step 10/90: training loss=0.53, validation loss=0.61"},
            {"step": 10, "total_steps": 90, "loss": 0.53, "valid_loss": 0.61},
        ),
        ({"data": {}, "message": "Step 7: training loss=1.25"}, {"step": 7, "loss": 1.25}),
        ({"level": "warn", "message": "File is odd"}, {"level": "warn", "message": "File is odd"}),
        ({"level": None, "message": None, "data": None}, {"level": "info", "message": ""}),
        ({"message": "Step 7: training loss=e.e"}, {"level": "info", "message": "Step 7: training loss=e.e"}),
    ],
)
def test_events_become_numbers_or_words(item: dict[str, Any], data: dict[str, Any]) -> None:
    assert remote_event({"id": "e", **item}).data == data


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"c3RlcCx0cmFpbl9sb3NzCjEsMS41Cg==", b"step,train_loss\n1,1.5\n"),
        (b"step,train_loss\n1,1.5\n", b"step,train_loss\n1,1.5\n"),
        (b"", b""),
        (b"not base64!", b"not base64!"),
    ],
)
def test_result_files_come_plain_or_in_base64(sent: bytes, read: bytes) -> None:
    assert result_content(sent) == read
