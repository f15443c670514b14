"""Rows that are only asked: they need no answer in a validation set, and are refused for training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import DataError
from broker.evaluation import prompts
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import load_dataset, overlap, read_dataset, store_dataset
from broker.jobs.rows import ChatRow

if TYPE_CHECKING:
    from pathlib import Path

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


QUESTIONS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"prompt": "Why?"}, [USER]),
    ({"prompt": "Why?", "completion": None}, [USER]),
    ({"prompt": "Why?", "system": "Be brief."}, [SYSTEM, USER]),
    ({"prompt": [SYSTEM, USER]}, [SYSTEM, USER]),
    ({"messages": [USER]}, [USER]),
    ({"messages": [SYSTEM, USER, ANSWER, USER], "tools": [TOOL]}, [SYSTEM, USER, ANSWER, USER]),
]


@pytest.mark.parametrize(("row", "messages"), QUESTIONS)
def test_a_question_alone_can_be_asked_but_not_trained_on(
    tmp_path: Path, row: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    path = written(tmp_path, {**row, "key": 7})
    (read,) = read_dataset(path, answers=False).rows
    assert isinstance(read, ChatRow)
    assert (list(read.prompt), read.expected, read.answered, dict(read.extra)) == (messages, "", False, {"key": 7})
    with pytest.raises(DataError, match=r"rows\.jsonl:1: .*can be asked \(--validation\), not trained on"):
        read_dataset(path)


def test_rows_with_and_without_answers_may_be_mixed(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "Why?", "completion": "Because."}, {"prompt": "How?"})
    rows = read_dataset(path, answers=False).rows
    assert [row.expected for row in rows if isinstance(row, ChatRow)] == ["Because.", ""]


def test_columns_that_are_empty_in_a_table_hold_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\nWhy?,\nHow?,So.\n", encoding="utf-8")
    rows = read_dataset(path, answers=False).rows
    assert [row.expected for row in rows if isinstance(row, ChatRow)] == ["", "So."]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"prompt": " "}, "prompt is"),
        ({"prompt": "Why?", "completion": ""}, "completion is"),
        ({"prompt": [ANSWER]}, "no user turn"),
        ({"prompt": [USER, ANSWER]}, "ends with the assistant turn"),
        ({"messages": [SYSTEM]}, "no user turn"),
        ({"messages": [USER, {"role": "user", "content": ""}]}, "is empty"),
        ({"messages": []}, "messages is empty"),
        ({"instruction": "Why?"}, "output is missing"),
    ],
)
def test_what_is_no_question_either_is_refused(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_dataset(written(tmp_path, row), answers=False)


def test_questions_are_stored_asked_and_compared_like_other_rows(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "Why is it closed?", "kwargs": [{"n": 1}]})
    artifacts = Artifacts(tmp_path / "artifacts")
    ref = store_dataset(read_dataset(path, answers=False), artifacts)
    back = load_dataset(ref, artifacts)
    assert back.rows[0].extra == {"kwargs": [{"n": 1}]}
    (request,) = prompts(back)
    assert [dict(message) for message in request.messages] == [{"role": "user", "content": "Why is it closed?"}]
    train = read_dataset(
        written(tmp_path, {"prompt": "Why is it closed?", "completion": "It leaked."}, name="train.jsonl")
    )
    assert [found.exact for found in overlap(train, back)] == [True]
