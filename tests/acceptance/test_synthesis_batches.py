"""Synthesis by a Batch API: few large batches at half the price, through failed rows, `kill -9`, a budget."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import EXIT_BUDGET
from broker.sandbox.sections import source_sections
from tests.fakes.data_maker import DataMaker
from tests.fakes.gemini_server import Habits, Rule, running
from tests.fakes.gemini_writer import answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.gemini_server import Running

ROWS = 30
FILES = ("rows.jsonl", "validation.jsonl", "train.jsonl")
CREATE = "batchGenerateContent"
# USD for a million tokens of gemini-3.5-flash-lite: prompt, answer.
LIVE, BATCH = (0.3, 2.5), (0.15, 1.25)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(answering=answer) as fake:
        yield fake


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "sections.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in source_sections(3 * ROWS)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, served: Running, source: Path, encoder_dir: Path
) -> dict[str, Any]:
    """Return the files of a run that nothing happened to."""
    served.clear(answering=answer)
    maker = DataMaker(tmp_path_factory.mktemp("undisturbed"), served.url, encoder_dir, batch_poll_s=0.05)
    ended = maker.run(*maker.submit(source, ROWS, "--batch"))
    assert ended.code == 0, ended.err
    state = served.state
    assert state.calls["generateContent"] == 0
    sizes = [len(batch.requests) for batch in state.batches.values()]
    assert sizes[:2] == [max(sizes)] * 2  # all rows together; only those that come after the rejected ones are fewer
    assert sizes[0] >= ROWS
    assert maker.manifest["cost_usd"] == pytest.approx(cost(maker, BATCH), abs=1e-6)
    return {name: maker.rows(name) for name in FILES}


@pytest.fixture
def fake(served: Running, undisturbed: dict[str, Any]) -> Running:
    assert len(undisturbed["rows.jsonl"]) == ROWS
    served.clear(answering=answer)
    return served


@pytest.fixture
def maker(tmp_path: Path, fake: Running, encoder_dir: Path) -> DataMaker:
    return DataMaker(tmp_path, fake.url, encoder_dir, batch_poll_s=0.05)


def cost(maker: DataMaker, prices: tuple[float, float]) -> float:
    """Return what all answers of a run cost by these prices."""
    asked, told = int(maker.manifest["input_tokens"]), int(maker.manifest["output_tokens"])
    return (asked * prices[0] + told * prices[1]) / 1e6


def test_rows_that_a_batch_fails_are_asked_live_and_the_others_cost_half(
    maker: DataMaker, fake: Running, source: Path, undisturbed: dict[str, Any]
) -> None:
    fake.state.rules = [
        Rule("row_error", call="batch.row", nth=[3, 40]),
        Rule("row_missing", call="batch.row", nth=[7]),
    ]
    ended = maker.run(*maker.submit(source, ROWS, "--batch"))
    assert ended.code == 0, ended.err
    for name in FILES:  # a row's lineage says what it cost, which is more for three of them
        assert [row["messages"] for row in maker.rows(name)] == [row["messages"] for row in undisturbed[name]]
    live = [one for one in fake.state.paid if not one.batch]
    assert len(live) == 3
    assert fake.state.asked_twice() == []
    assert cost(maker, BATCH) < maker.manifest["cost_usd"] < 1.1 * cost(maker, BATCH)
    assert maker.manifest["requests"] == len(fake.state.paid)


def test_an_unsafe_row_of_a_batch_is_rejected_with_its_reason(maker: DataMaker, fake: Running, source: Path) -> None:
    fake.state.rules = [Rule("safety", call="batch.row", nth=[5]), Rule("max_tokens", call="batch.row", nth=[9])]
    ended = maker.run(*maker.submit(source, ROWS, "--batch"))
    assert ended.code == 0, ended.err
    (unsafe,) = [row for row in maker.rows("rejected.jsonl") if row["reason"] == "safety"]
    assert "HARM_CATEGORY_DANGEROUS_CONTENT" in unsafe["detail"]
    assert fake.state.calls["generateContent"] == 0  # what was cut off was asked again by the next batch
    assert max(Counter(one.key for one in fake.state.paid).values()) == 1


@pytest.mark.parametrize("end", ["FAILED", "EXPIRED"])
def test_a_batch_that_ends_without_results_is_asked_live_and_told(
    maker: DataMaker, fake: Running, source: Path, end: str
) -> None:
    fake.state.habits = Habits(batch_end=end, batch_looks=1)
    ended = maker.run(*maker.submit(source, 5, "--batch"))
    assert ended.code == 0, ended.err
    assert maker.manifest["cost_usd"] == pytest.approx(cost(maker, LIVE), abs=1e-6)
    assert "asked live, at the full price" in ended.out + ended.err


@pytest.mark.parametrize(("batches", "command"), [(1, "watch"), (3, "resume")])
def test_killed_while_a_batch_runs_it_takes_up_the_same_one(
    maker: DataMaker, fake: Running, source: Path, undisturbed: dict[str, Any], batches: int, command: str
) -> None:
    def runs() -> bool:
        if len(fake.state.batches) == batches:  # this one stays under way
            fake.state.habits = Habits(batch_looks=10_000)
        last = list(fake.state.batches.values())[-1:]
        return len(fake.state.batches) == batches and last[0].looks >= 2 and last[0].state == "RUNNING"

    killed = maker.stopped(runs, signal.SIGKILL, *maker.submit(source, ROWS, "--batch"))
    assert killed.code == -signal.SIGKILL
    kept = len(maker.stored())
    fake.state.habits = Habits(batch_looks=1)
    ended = maker.run(command)
    assert ended.code == 0, ended.err
    assert {name: maker.rows(name) for name in FILES} == undisturbed
    assert fake.state.calls[CREATE] == len(fake.state.batches)
    assert fake.state.calls["generateContent"] == 0
    assert max(Counter(one.key for one in fake.state.paid).values()) == 1
    assert maker.manifest["answers_reused"] >= kept
    # Nothing was: the batch was found again.
    assert maker.manifest["possibly_paid_twice"] == 0


def test_the_budget_ends_it_cleanly_and_more_of_it_goes_on(maker: DataMaker, fake: Running, source: Path) -> None:
    fake.state.habits = Habits(batch_looks=1)
    fake.state.rules = [Rule("row_error", call="batch.row", nth=[2, 4])]
    ended = maker.run(*maker.submit(source, 10, "--batch", "--budget", "0.006"))
    assert ended.code == EXIT_BUDGET, ended.err
    assert 0 < maker.manifest["cost_usd"] <= 0.006
    assert maker.manifest["accepted"] < 10
    (job,) = maker.run("jobs", "--json").data
    assert job["state"] == "paused"
    ended = maker.run("resume", job["id"], "--budget", "1")
    assert ended.code == 0, ended.err
    assert len(maker.rows()) == 10
    assert fake.state.asked_twice() == []
    assert max(Counter(one.key for one in fake.state.paid).values()) == 1
