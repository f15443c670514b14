"""A validation set is what models are asked and metrics read: references beside the messages belong to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from typing import TYPE_CHECKING

import pytest

from broker.api import Broker, ExperimentRequest, ModelRequest
from broker.errors import UserError
from broker.evaluation import Scored, metric
from broker.evaluation.record import SCORES
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import frozen_hash, read_dataset, store_dataset
from broker.jobs.spec import EvaluateSpec
from broker.results import to_data

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.jobs.spec import DatasetRef

pytestmark = pytest.mark.anyio
Opener = Callable[..., AbstractAsyncContextManager[Broker]]
KEYS = ("reference", "id")
QUESTIONS = ("Why is the sky blue?", "What is iron?", "Who bakes bread?")


@metric("mentions", kind="proportion")
def mentions(row: Scored) -> bool:
    return str(row.extra["reference"]) in row.answer


def written(
    path: Path, reference: str | None, *, head: str = "", id_: int | None = None, order: Sequence[str] = KEYS
) -> Path:
    given = {"id": id_, "reference": reference}
    extra = {key: given[key] for key in order if given[key] is not None}
    lines = [json.dumps({"messages": [{"role": "user", "content": one}], **extra}) for one in QUESTIONS]
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def kept(path: Path, artifacts: Artifacts) -> DatasetRef:
    return store_dataset(read_dataset(path, answers=False), artifacts)


def test_the_hash_covers_what_a_metric_reads(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    refs = [
        kept(path, artifacts)
        for path in (
            written(tmp_path / "plain.jsonl", None),
            written(tmp_path / "one.jsonl", "a"),
            written(tmp_path / "other.jsonl", "b"),
            written(tmp_path / "two.jsonl", "a", id_=1),
            written(tmp_path / "turned.jsonl", "a", id_=1, order=KEYS[::-1]),
            written(tmp_path / "lower.jsonl", "a", head="\n\n"),
        )
    ]
    assert len({ref.sha256 for ref in refs}) == 1
    hashes = [frozen_hash(ref, artifacts) for ref in refs]
    assert hashes[0] == refs[0].sha256  # without such keys it is what it always was
    assert len(set(hashes[:4])) == 4
    assert hashes[4] == hashes[3]  # the order of keys says nothing
    assert hashes[5] == hashes[1]  # nor does the line in the file


def test_without_the_keys_the_hash_is_that_of_the_rows(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    ref = kept(written(tmp_path / "one.jsonl", "a"), artifacts)
    assert ref.extra_sha256 is not None
    artifacts.path(ref.extra_sha256).unlink()
    assert frozen_hash(ref, artifacts) == ref.sha256


def request(path: Path, name: str | None = "tone", model: str = "fake-base") -> ExperimentRequest:
    models = (ModelRequest(provider="fake", model=model),)
    return ExperimentRequest(name=name, validation=str(path), models=models, metrics=("mentions", "length"))


async def judged(broker: Broker, wanted: ExperimentRequest) -> Job:
    (job,) = await broker.start(await broker.plan(wanted))
    (ended,) = await broker.wait(job.id)
    return ended


async def test_other_references_are_another_set(open_broker: Opener, tmp_path: Path) -> None:
    one, other = written(tmp_path / "one.jsonl", "a"), written(tmp_path / "other.jsonl", "b")
    async with open_broker() as broker:
        await judged(broker, request(one))
        table = await broker.results("tone")
        with pytest.raises(UserError, match="has another validation set"):
            await broker.start(await broker.plan(request(other)))
        await judged(broker, request(other, "second"))
        second = await broker.results("second")
        named = [(await broker.plan(request(path, None))).experiment.name for path in (one, other)]
    hashes = [to_data(one)["conditions"]["validation_sha256"] for one in (table, second)]
    assert hashes[0] != hashes[1]
    assert named[0].split("-")[1] == hashes[0][:6]
    assert named[1].split("-")[1] == hashes[1][:6]


def grown_old(data_dir: Path, job: Job, name: str) -> str:
    """Put into a store what an older broker wrote: the hash of the rows alone."""
    assert isinstance(job.spec, EvaluateSpec)
    rows = job.spec.validation.sha256
    with closing(sqlite3.connect(data_dir / "broker.db")) as connection, connection:
        connection.execute("UPDATE experiments SET validation_sha256 = ? WHERE name = ?", (rows, name))
    scores = data_dir / "evaluations" / job.id / SCORES
    found = json.loads(scores.read_text())
    found["conditions"]["validation_sha256"] = rows
    scores.write_text(json.dumps(found))
    return rows


async def test_the_experiment_of_an_older_broker_goes_on(open_broker: Opener, tmp_path: Path) -> None:
    one, other = written(tmp_path / "one.jsonl", "a"), written(tmp_path / "other.jsonl", "b")
    async with open_broker() as broker:
        first = await judged(broker, request(one, f"one-{kept(one, Artifacts(tmp_path / 'x')).sha256[:6]}"))
        name, data_dir = first.experiment, broker.data_dir
    rows = grown_old(data_dir, first, name)
    async with open_broker() as broker:
        with pytest.raises(UserError, match="has another validation set"):
            await broker.start(await broker.plan(request(other, name)))
        plan = await broker.plan(request(one, None, "fake-other"))
        assert plan.experiment.name == name  # without a name it lands in the old table
        (job,) = await broker.start(plan)
        await broker.wait(job.id)
        table = await broker.results(name)
        assert (await broker.experiment(name)).validation_sha256 == rows
    data = to_data(table)
    assert {row["validation_sha256"] for row in data["rows"]} == {data["conditions"]["validation_sha256"]} != {rows}
    assert {one.metric for one in table.comparisons} == {"mentions"}
