"""What one job has paid for, another one of the same account, model, source and seed does not ask for again."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from broker import Broker
from broker.jobs.states import State
from broker.jobs.store import open_store
from broker.sandbox.sections import source_sections
from broker.synthesis import Pipeline, each
from tests.fakes.gemini_server import running
from tests.fakes.gemini_writer import answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.jobs.store.protocol import Store
    from broker.synthesis import Bench, Row
    from tests.fakes.gemini_server import Running

pytestmark = pytest.mark.anyio
BROKEN: set[str] = set()


@each
async def ask_twice(row: Row, bench: Bench) -> Row:
    """Make a row of two answers; the second step can be broken."""
    first = await bench.ask(row, "Task: question\n\n### Text\n{text}")
    if "here" in BROKEN:
        raise LookupError("not mended yet")
    return row.having(question=f"{row.id}: {first[:40]}", answer=await bench.ask(row, "Say more of this: {text}"))


twice = Pipeline(name="twice", steps=lambda _options: [ask_twice])


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def fake(served: Running) -> Running:
    served.clear(answering=answer)
    return served


class Maker:
    """Has rows made by jobs of one data folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._url = url
        self._source = folder / "sections.jsonl"
        lines = [json.dumps(row) + "\n" for row in source_sections(40)]
        self._source.write_text("".join(lines), encoding="utf-8")

    async def make(self, name: str, *, rows: int = 6, account: dict[str, Any] | None = None, **more: Any) -> Job:
        async with self.broker(**(account or {})) as broker:
            asked: dict[str, Any] = {"source": self._source, "pipeline": f"{__name__}:twice", "rows": rows, **more}
            job = await broker.synthesize(provider="mine", output=self.folder / name, **asked)
            return (await broker.wait(job))[0]

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/data/broker.db")

    async def fail(self, name: str, **more: Any) -> Job:
        BROKEN.add("here")
        try:
            return await self.make(name, **more)
        finally:
            BROKEN.clear()

    def broker(self, **account: Any) -> Broker:
        mine = {"kind": "gemini", "base_url": self._url, "api_key": "k", **account}
        return Broker(data_dir=self.folder / "data", providers={"mine": mine})

    def manifest(self, name: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / name / "manifest.json").read_text(encoding="utf-8"))
        return read

    def rows(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name / "rows.jsonl").read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]


@pytest.fixture
def maker(tmp_path: Path, fake: Running) -> Maker:
    return Maker(tmp_path, fake.url)


async def test_more_rows_are_made_of_the_answers_that_are_there(maker: Maker, fake: Running) -> None:
    first = await maker.make("a", rows=6)
    paid = len(fake.state.paid)
    second = await maker.make("b", rows=20)
    assert (first.state, second.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert fake.state.asked_twice() == []
    told = maker.manifest("b")
    assert 12 <= told["answers_of_other_jobs"] <= paid
    assert told["requests"] == len(fake.state.paid) - paid
    assert second.cost_usd == pytest.approx(told["cost_usd"])
    assert told["cost_usd"] > 0
    messages = [row["messages"] for row in maker.rows("b")]
    assert [row["messages"] for row in maker.rows("a")] == messages[:6]
    assert maker.rows("b")[0]["lineage"]["cost_usd"] == 0
    assert maker.rows("b")[0]["lineage"]["input_tokens"] > 0


async def test_a_failed_one_is_made_anew_by_the_same_request(maker: Maker, fake: Running) -> None:
    failed = await maker.fail("made")
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert "not mended yet" in failed.failure.message
    paid = len(fake.state.paid)
    assert paid
    assert failed.cost_usd == pytest.approx(sum(maker_cost(maker, failed)))
    ended = await maker.make("made")
    assert ended.state is State.SUCCEEDED, ended.failure
    assert ended.id != failed.id
    assert fake.state.asked_twice() == []
    assert maker.manifest("made")["answers_of_other_jobs"] == paid
    assert (await maker.make("made")).id == ended.id
    assert fake.state.asked_twice() == []


async def test_rows_whose_folder_is_gone_are_made_of_the_answers_that_were_paid(maker: Maker, fake: Running) -> None:
    first = await maker.make("a")
    rows = maker.rows("a")
    shutil.rmtree(maker.folder / "a")
    second = await maker.make("a")
    assert (second.state, second.cost_usd) == (State.SUCCEEDED, 0)
    assert second.id != first.id
    assert fake.state.asked_twice() == []
    assert [row["messages"] for row in maker.rows("a")] == [row["messages"] for row in rows]


def maker_cost(maker: Maker, job: Job) -> list[float]:
    lines = (maker.folder / "data" / "synthesis" / job.id / "answers.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line).get("cost_usd", 0.0) for line in lines if line]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"again": True}),
        ({}, {"seed": 1}),
        ({}, {"account": {"options": {"thinking_level": "low"}}}),
        ({}, {"temperature": 0.9}),
    ],
)
async def test_other_answers_are_asked_for(
    maker: Maker, fake: Running, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await maker.make("a", **first)
    before = len(fake.state.paid)
    await maker.make("b", **second)
    assert maker.manifest("b")["answers_of_other_jobs"] == 0
    assert len(fake.state.paid) >= before + 12


async def test_how_fast_an_account_may_be_asked_changes_no_answer(maker: Maker, fake: Running) -> None:
    await maker.make("a")
    await maker.make("b", account={"options": {"requests_per_minute": 5000}})
    assert fake.state.asked_twice() == []
    assert maker.manifest("b")["answers_of_other_jobs"] >= 12


async def test_answers_of_an_account_that_was_changed_meanwhile_are_nobody_elses(maker: Maker, fake: Running) -> None:
    failed = await maker.fail("a")
    changed = {"options": {"thinking_level": "low"}}
    for _ in range(2):  # what is mixed stays mixed
        async with maker.broker(**changed) as broker:
            await broker.resume(failed.id)
            await broker.wait(failed.id)
    paid = len(fake.state.paid)
    await maker.make("b", account=changed)
    assert maker.manifest("b")["answers_of_other_jobs"] == 0
    assert len(fake.state.paid) >= paid + 12


async def test_a_failed_one_that_goes_on_is_paid_once(maker: Maker) -> None:
    failed = await maker.fail("a", budget_usd=1.0)
    async with maker.broker() as broker:
        await broker.resume(failed.id)
        (ended,) = await broker.wait(failed.id)
    assert ended.state is State.SUCCEEDED, ended.failure
    with closing(maker.store()) as store:
        assert store.spent(ended.experiment) == pytest.approx(sum(maker_cost(maker, ended)))


async def test_what_a_judge_has_cost_is_not_there_for_a_synthesis(maker: Maker, fake: Running) -> None:
    first = await maker.make("a", experiment="e", budget_usd=1.0)
    paid = len(fake.state.paid)
    assert first.cost_usd
    with closing(maker.store()) as store:
        store.settle_expense("e", "judge", 1.0 - first.cost_usd)
    second = await maker.make("b", experiment="e", budget_usd=1.0, seed=5)
    assert second.state is State.PAUSED
    assert len(fake.state.paid) == paid
