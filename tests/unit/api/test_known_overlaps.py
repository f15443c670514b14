"""Validation prompts in any training data that the broker knows: refused with the rows, or allowed and marked."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.api import Broker, ExperimentRequest, TuneRequest
from broker.errors import DataError
from broker.jobs.datasets import read_dataset, store_dataset
from broker.jobs.spec import EvaluateSpec, TuneSpec
from broker.jobs.states import JobKind
from broker.results import to_csv, to_data, to_html, to_markdown
from broker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.results import ResultsTable

pytestmark = pytest.mark.anyio


def row(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": "So it is."}]}


def write(path: Path, prompts: Sequence[str], *, gap: bool = False) -> str:
    """Write rows; with `gap` a blank line before each, so that lines are not numbers of rows."""
    start = "\n" if gap else ""
    path.write_text("".join(f"{start}{json.dumps(row(prompt))}\n" for prompt in prompts), encoding="utf-8")
    return str(path)


def questions(start: int, count: int) -> list[str]:
    return [
        f"Question {n}: what about topic {n * 7919 % 1009} in the year {1000 + n * 31 % 977}?"
        for n in range(start, start + count)
    ]


@asynccontextmanager
async def opened(tmp_path: Path, *, drive: bool = True) -> AsyncGenerator[Broker]:
    overrides = {"data_dir": tmp_path / "data", "cache_dir": tmp_path / "cache"}
    async with Broker(load_settings(overrides=overrides), drive=drive) as broker:
        yield broker


async def trained(broker: Broker, source: str) -> Job:
    """Tune on rows without judging."""
    request = ExperimentRequest(name="before", evaluate=False, tunings=(TuneRequest(provider="fake", train=source),))
    (job,) = await broker.start(await broker.plan(request))
    (done,) = await broker.wait(job)
    return done


def judging(validation: str, *models: str, **more: Any) -> dict[str, Any]:
    return {"models": models, "validation": validation, "metrics": ["length"], "experiment": "after", **more}


async def refused(broker: Broker, **request: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        await broker.plan(await broker.judgement(**request))
    assert all("--allow-overlap" in problem.fix for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


async def test_rows_of_an_earlier_job_are_named_on_both_sides(tmp_path: Path) -> None:
    ours = [*questions(0, 8), "Why is the sky blue during the long summer day?", "Who is it?"]
    train = write(tmp_path / "train.jsonl", ours, gap=True)
    asked = [
        "Something else entirely, isn't it?",
        "why is the sky BLUE during the long summer day",
        "Why is the sky blue during the long summer days?",
        "who is it",
    ]
    validation = write(tmp_path / "val.jsonl", asked, gap=True)
    async with opened(tmp_path) as broker:
        job = await trained(broker, train)
        (said,) = await refused(broker, **judging(validation, "fake:fake-base"))
        assert f"3 of 4 validation prompt(s) are in the training data of {job.id} (experiment before)" in said
        assert "val.jsonl:4 = train.jsonl:18" in said
        assert "val.jsonl:6 ~ train.jsonl:18 (similarity 0.9" in said
        assert "val.jsonl:8 = train.jsonl:20" in said
        assert "Jaccard similarity of character trigrams at least 0.9" in said
        assert await broker.jobs(kinds=[JobKind.EVALUATE]) == []


async def test_it_is_the_same_from_the_cache_and_without_it(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 20), gap=True)
    validation = write(tmp_path / "val.jsonl", questions(15, 10))
    async with opened(tmp_path) as broker:
        job = await trained(broker, train)
        first = await refused(broker, **judging(validation, "fake:fake-base"))
        kept = sorted((tmp_path / "cache" / "overlaps").iterdir())
        assert len(kept) == 2
        assert await refused(broker, **judging(validation, "fake:fake-base")) == first
        for path in kept:
            path.write_bytes(b"torn")
        assert await refused(broker, **judging(validation, "fake:fake-base")) == first
        assert isinstance(job.spec, TuneSpec)
        # What was compared once is known, even when the rows are gone.
        broker._engine.artifacts.path(job.spec.train.sha256).unlink()  # pyright: ignore[reportPrivateUsage] - the disk's side
        assert await refused(broker, **judging(validation, "fake:fake-base")) == first


async def test_rows_that_are_gone_are_a_warning(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 20))
    validation = write(tmp_path / "val.jsonl", questions(0, 3))
    async with opened(tmp_path) as broker:
        job = await trained(broker, train)
        assert isinstance(job.spec, TuneSpec)
        broker._engine.artifacts.path(job.spec.train.sha256).unlink()  # pyright: ignore[reportPrivateUsage] - the disk's side
        plan = await broker.plan(await broker.judgement(**judging(validation, "fake:fake-base")))
        (warning,) = plan.warnings
        assert f"the rows of {job.id} (experiment before), train.jsonl, are no longer in the artifacts" in warning.what
        assert plan.overlap == {}


async def marked(broker: Broker) -> ResultsTable:
    table = await broker.results("after")
    for text in (to_markdown(table), to_html(table), str(table)):
        words = " ".join(text.replace("\\", "").split())
        assert "2 of 5 validation prompts are in the training data train.jsonl" in words
    return table


async def test_allowed_it_marks_the_table_and_the_models_that_had_seen_it(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 10))
    validation = write(tmp_path / "val.jsonl", questions(8, 5))
    async with opened(tmp_path) as broker:
        job = await trained(broker, train)
        clean = await trained(broker, write(tmp_path / "clean.jsonl", questions(900, 10)))
        # First without the model that had seen them: nobody here has.
        request = judging(validation, "fake:fake-base", clean.id, allow_overlap=True)
        await broker.wait(await broker.start(await broker.plan(await broker.judgement(**request))))
        table = await marked(broker)
        assert [row.overlap for row in table.rows] == [0, 0]
        assert any("no model of this table is known to have been trained" in line for line in table.warnings)
        # Then with it, into the same experiment.
        request = judging(validation, job.id, allow_overlap=True)
        await broker.wait(await broker.start(await broker.plan(await broker.judgement(**request))))
        table = await marked(broker)
        assert {row.tune_job: row.overlap for row in table.rows} == {None: 0, clean.id: 0, job.id: 2}
        assert any("had seen validation prompts before: fake-base tuned" in line for line in table.warnings)
        rows = to_data(table)["rows"]
        assert sorted(row["overlap"] for row in rows) == [0, 0, 2]
        assert to_csv(table).splitlines()[0].split(",").count("overlap") == 1


async def test_a_model_made_of_a_model_that_had_seen_them(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 10))
    more = write(tmp_path / "more.jsonl", questions(500, 10))
    validation = write(tmp_path / "val.jsonl", questions(8, 5))
    async with opened(tmp_path) as broker:
        first = await trained(broker, train)
        assert first.model is not None
        tuning = TuneRequest(provider="fake", train=more, model=first.model.name)
        request = ExperimentRequest(name="after", validation=validation, tunings=(tuning,), allow_overlap=True)
        plan = await broker.plan(request)
        await broker.wait(await broker.start(plan))
        table = await broker.results("after")
        # The base of the second is the first: both had seen the rows.
        assert [row.overlap for row in table.rows] == [2, 2]


async def test_rows_that_were_only_looked_at_count_too(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 10))
    validation = write(tmp_path / "val.jsonl", questions(800, 5))
    async with opened(tmp_path, drive=False) as broker:
        plan = await broker.plan(
            ExperimentRequest(name="before", evaluate=False, tunings=(TuneRequest(provider="fake", train=train),))
        )
        looked_at = store_dataset(read_dataset(tmp_path / "val.jsonl"), broker._engine.artifacts)  # pyright: ignore[reportPrivateUsage] - what a server stores
        (planned,) = plan.jobs
        assert isinstance(planned.job.spec, TuneSpec)
        spec = replace(planned.job.spec, validation=looked_at)
        await broker.start(replace(plan, jobs=(replace(planned, job=replace(planned.job, spec=spec)),)))
        (said,) = await refused(broker, **judging(validation, "fake:fake-base"))
        assert "5 of 5 validation prompt(s) are in the rows that were looked at in training of" in said


async def test_the_same_submit_again_and_other_experiments_with_the_same_files(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 10))
    validation = write(tmp_path / "val.jsonl", questions(100, 5))
    files: dict[str, Any] = {"train": train, "validation": validation, "metrics": ["length"]}
    async with opened(tmp_path) as broker:
        for again in (False, False, True):
            await broker.submit(provider="fake", again=again, **files)
        await broker.submit(provider="fake", experiment="another", seed=5, **files)
        await broker.wait()
        assert len(await broker.jobs(kinds=[JobKind.TUNE])) == 3
        table = await broker.results("another")
        assert not any("overlap" in line for line in table.warnings)


async def test_a_cancelled_job_taught_nobody(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", questions(0, 10))
    validation = write(tmp_path / "val.jsonl", questions(0, 5))
    request = ExperimentRequest(name="before", evaluate=False, tunings=(TuneRequest(provider="fake", train=train),))
    async with opened(tmp_path, drive=False) as broker:
        (job,) = await broker.start(await broker.plan(request))
        await refused(broker, **judging(validation, "fake:fake-base"))
        await broker.cancel(job)
    async with opened(tmp_path) as broker:
        await broker.wait(job)
        plan = await broker.plan(await broker.judgement(**judging(validation, "fake:fake-base")))
        assert [type(planned.job.spec) for planned in plan.jobs] == [EvaluateSpec]


async def test_many_sets_are_summed_up(tmp_path: Path) -> None:
    validation = write(tmp_path / "val.jsonl", questions(0, 20))
    async with opened(tmp_path, drive=False) as broker:
        for number in range(8):
            source = write(tmp_path / f"train{number}.jsonl", [*questions(0, 12), *questions(100 * (number + 1), 10)])
            tuning = (TuneRequest(provider="fake", train=source),)
            await broker.start(await broker.plan(ExperimentRequest(name="x", evaluate=False, tunings=tuning)))
        said = await refused(broker, **judging(validation, "fake:fake-base"))
        assert len(said) == 6
        assert said[0].count(" = ") == 5
        assert "and 7 more" in said[0]
        assert "3 more sets share prompts with it" in said[-1]


async def test_fifty_sets_are_compared_in_a_few_seconds_once_they_are_known(tmp_path: Path) -> None:
    async with opened(tmp_path, drive=False) as broker:
        for number in range(50):
            prompts = [f"{number} {text}" for text in questions(number * 1000, 400)]
            source = write(tmp_path / f"train{number}.jsonl", prompts)
            tuning = (TuneRequest(provider="fake", train=source),)
            await broker.start(await broker.plan(ExperimentRequest(name="x", evaluate=False, tunings=tuning)))
        request = judging(write(tmp_path / "val.jsonl", [f"x {text}" for text in questions(70_000, 100)]), "fake:a")
        await broker.plan(await broker.judgement(**request))
        other = judging(write(tmp_path / "val2.jsonl", [f"y {text}" for text in questions(80_000, 100)]), "fake:a")
        began = time.process_time()
        await broker.plan(await broker.judgement(**other))
        new_set = time.process_time() - began
        began = time.process_time()
        await broker.plan(await broker.judgement(**other))
        # Signatures are known; then the pairs are.
        assert new_set < 4
        assert time.process_time() - began < 1
