"""Synthesis as a job: any provider that answers can do it, and it is cancelled, paused and resumed like others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker import Broker
from broker.jobs.datasets import read_dataset
from broker.jobs.spec import RowFormat
from broker.jobs.states import JobKind, State
from broker.sandbox.sections import source_sections
from broker.synthesis.answerbook import AnswerBook
from tests.fakes.openai_server import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio
ROWS = 12


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "sections.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in source_sections(60)), encoding="utf-8")
    return path


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Broker]:
    def open_broker(**overrides: Any) -> Broker:
        return Broker(data_dir=tmp_path / "data", **overrides)

    return open_broker


async def test_openai_can_make_rows_too(
    opened: Callable[..., Broker], source: Path, tmp_path: Path, encoder_dir: Path
) -> None:
    with running() as fake:
        account = {"kind": "openai", "base_url": fake.base_url, "api_key": "sk-test"}
        async with opened(providers={"mine": account}) as broker:
            job = await broker.synthesize(
                provider="mine",
                model="gpt-4o-mini",
                source=source,
                rows=ROWS,
                output=tmp_path / "made",
                encoder=str(encoder_dir),
            )
            (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    assert ended.kind is JobKind.SYNTHESIZE
    rows = read_dataset(tmp_path / "made" / "rows.jsonl").rows
    assert len(rows) == ROWS
    assert {row.extra["lineage"]["model"] for row in rows} == {"mine:gpt-4o-mini-2024-07-18"}


async def test_a_preference_job_makes_rows_for_dpo(
    opened: Callable[..., Broker], source: Path, tmp_path: Path, encoder_dir: Path
) -> None:
    async with opened() as broker:
        job = await broker.synthesize(
            provider="local",
            model="sandbox-writer",
            pipeline="preference",
            source=source,
            rows=ROWS,
            output=tmp_path / "made",
            encoder=str(encoder_dir),
        )
        (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    made = read_dataset(tmp_path / "made" / "train.jsonl")
    assert made.format is RowFormat.PREFERENCE
    for row in made.rows:
        scores = row.extra["lineage"]["scores"]
        assert scores["flesch_preferred"] - scores["flesch_non_preferred"] >= 10


async def test_people_in_situations_cover_rare_cases(
    opened: Callable[..., Broker], tmp_path: Path, encoder_dir: Path
) -> None:
    async with opened() as broker:
        job = await broker.synthesize(
            provider="local",
            model="sandbox-writer",
            pipeline="persona",
            rows=20,
            output=tmp_path / "made",
            encoder=str(encoder_dir),
            domain="debt advice",
        )
        (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["coverage"]["rare_rows"] >= 4  # a fifth of them
    rows = read_dataset(tmp_path / "made" / "rows.jsonl").rows
    assert sum(row.extra["covers"]["rare"] for row in rows) == manifest["coverage"]["rare_rows"]


async def test_paused_it_keeps_its_answers_and_goes_on(
    opened: Callable[..., Broker], source: Path, tmp_path: Path, encoder_dir: Path
) -> None:
    with running() as fake:
        account = {"kind": "openai", "base_url": fake.base_url, "api_key": "sk-test", "concurrency": 1}
        async with opened(providers={"mine": account}) as broker:
            job = await broker.synthesize(
                provider="mine",
                model="gpt-4o-mini",
                source=source,
                rows=ROWS,
                output=tmp_path / "made",
                encoder=str(encoder_dir),
            )
            async for event in broker.watch(job):
                if event.data.get("requests", 0) > 0 or event.data.get("to") == State.RUNNING:
                    await broker.pause(job)
            (paused,) = await broker.wait(job)
            assert paused.state in (State.PAUSED, State.SUCCEEDED)
            await broker.resume(job)
            (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["accepted"] == ROWS
    assert manifest["possibly_paid_twice"] == 0


async def test_paused_by_a_person_it_tells_what_was_paid(
    opened: Callable[..., Broker], source: Path, tmp_path: Path, encoder_dir: Path
) -> None:
    with running() as fake:
        slow = {"requests_per_minute": 300, "paid": True}
        account = {"kind": "openai", "base_url": fake.base_url, "api_key": "sk-test", "concurrency": 1, "options": slow}
        async with opened(providers={"mine": account}) as broker:
            job = await broker.synthesize(
                provider="mine",
                model="gpt-4o-mini",
                source=source,
                rows=40,
                output=tmp_path / "made",
                encoder=str(encoder_dir),
            )
            async for event in broker.watch(job):
                if event.data.get("cost_usd", 0) > 0:
                    await broker.pause(job)
            (paused,) = await broker.wait(job)
    assert paused.state is State.PAUSED
    stored = AnswerBook(tmp_path / "data" / "synthesis" / job.id)
    assert paused.result["cost_usd"] == pytest.approx(stored.cost_usd)
    assert stored.cost_usd > 0
    assert paused.cost_usd is None  # what it may still cost stays reserved


async def test_a_cancelled_one_ends(opened: Callable[..., Broker], source: Path, tmp_path: Path) -> None:
    with running() as fake:
        account = {"kind": "openai", "base_url": fake.base_url, "api_key": "sk-test", "concurrency": 1}
        async with opened(providers={"mine": account}) as broker:
            job = await broker.synthesize(
                provider="mine",
                model="gpt-4o-mini",
                source=source,
                rows=40,
                output=tmp_path / "made",
                encoder="/nowhere",
            )
            async for event in broker.watch(job):
                if event.data.get("to") == State.RUNNING:
                    await broker.cancel(job)
            (ended,) = await broker.wait(job)
    assert ended.state is State.CANCELLED
    assert ended.cost_usd is not None
