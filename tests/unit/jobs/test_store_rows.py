"""The sets that tuning jobs were given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.jobs.ids import new_job_id
from broker.jobs.records import Experiment, Failure, NewJob
from broker.jobs.spec import DatasetRef, ModelRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    Life = Any


def rows(letter: str, name: str = "train.jsonl") -> DatasetRef:
    return DatasetRef(sha256=letter * 64, name=name, format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)


def tuning(train: DatasetRef, validation: DatasetRef | None = None) -> NewJob:
    spec = TuneSpec(provider="fake", model="m", train=train, validation=validation)
    return NewJob(id=new_job_id(JobKind.TUNE), spec=spec)


def test_each_set_once_with_the_first_of_its_jobs(life: Life) -> None:
    life.store.add_experiment(replace(life.store.experiment("tone"), name="other"))
    first, again = tuning(rows("a", "first.jsonl")), tuning(rows("a", "renamed.jsonl"))
    watched = tuning(rows("b"), validation=rows("a", "watched.jsonl"))
    elsewhere = tuning(replace(rows("a"), extra_sha256="c" * 64))
    life.add(first, again, life.evaluate(first))
    life.add(watched, elsewhere, experiment="other")
    found = [(one.data.name, one.watched, one.job_id, one.experiment, one.jobs) for one in life.store.used_rows()]
    assert found == [
        ("first.jsonl", False, first.id, "tone", 2),
        ("train.jsonl", False, watched.id, "other", 1),
        ("train.jsonl", False, elsewhere.id, "other", 1),
        ("watched.jsonl", True, watched.id, "other", 1),
    ]


def test_jobs_that_ended_without_a_model_taught_nobody(life: Life) -> None:
    for state, model in (
        (State.FAILED, None),
        (State.CANCELLED, None),
        (State.FAILED, ModelRef(provider="f", name="m")),
    ):
        lease = life.claimed()
        life.running(lease)
        changes: dict[str, Any] = {"failure": Failure(code="x", message="bad")} if state is State.FAILED else {}
        life.store.transition(lease, state, model=model, **changes)
    (used,) = life.store.used_rows()
    assert used.jobs == 1
    life.added()
    assert life.store.used_rows()[0].jobs == 2


def test_an_empty_store_knows_no_rows(life: Life) -> None:
    assert life.store.used_rows() == []
    life.store.add_experiment(Experiment(name="x", created_at=life.store.experiment("tone").created_at))
    assert life.store.used_rows() == []
