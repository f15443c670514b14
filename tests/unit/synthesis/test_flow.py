"""How rows flow: in order, few at once, little left over, none lost without a word, whatever a step does."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from broker.synthesis import Pipeline, Row, each, flow, open_pipeline
from broker.synthesis.answerbook import AnswerBook
from tests.fakes.writing_completer import WritingCompleter, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from broker.providers.contract import Answer, CompletionRequest
    from broker.synthesis import Bench
    from broker.synthesis.run import Progress
    from tests.unit.synthesis.conftest import Synthesize

pytestmark = pytest.mark.anyio
FILES = ("rows.jsonl", "validation.jsonl", "train.jsonl")


def lines(folder: Path, name: str = "rows.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "made" / name).read_text(encoding="utf-8").splitlines()]


@each
async def riddle(row: Row, bench: Bench) -> Row:
    told = await bench.ask(row, "Write a riddle about this:\n\n{text}")
    return row.having(question=told, answer=row.source["title"])


RIDDLES = Pipeline(name="riddles", steps=lambda _options: [riddle])


def told(text: str = "What am I?", **more: Any) -> WritingCompleter:
    return WritingCompleter(lambda _request: said(text, **more))


async def test_waves_bring_the_same_rows_as_streams(made: Synthesize, tmp_path: Path) -> None:
    streamed, gathered = WritingCompleter(), WritingCompleter()
    first = await made(streamed, folder="streamed")
    second = await made(gathered, folder="waves", waves=True)
    assert first.complete and second.complete
    for name in FILES:
        assert lines(tmp_path / "streamed", name) == lines(tmp_path / "waves", name)
    assert set(streamed.calls) == {1}
    assert max(gathered.calls) > 5
    assert max(gathered.times().values()) == max(streamed.times().values()) == 1


async def test_rows_come_out_in_the_order_of_their_sources_however_long_each_takes(
    made: Synthesize, tmp_path: Path
) -> None:
    @each
    async def dawdle(row: Row, bench: Bench) -> Row:
        await anyio.sleep(0.01 * bench.random(row.id).random())
        return row.having(question=f"About {row.id}?", answer="So.")

    await made(told(), pipeline=Pipeline(name="slow", steps=lambda _: [dawdle]), rows=60, folder="slow")
    at_once = Pipeline(name="quick", steps=lambda _: [each(_answered)])
    await made(told(), pipeline=at_once, rows=60, folder="quick")
    slow, quick = ([row["lineage"]["id"] for row in lines(tmp_path / name)] for name in ("slow", "quick"))
    assert slow == quick
    assert sorted(map(int, slow)) == list(range(60))


async def _answered(row: Row, _bench: Bench) -> Row:
    return row.having(question=f"About {row.id}?", answer="So.")


async def test_no_more_rows_are_on_their_way_than_the_window_and_few_are_left_over(made: Synthesize) -> None:
    at_once = most = 0

    @each
    async def counted(row: Row, bench: Bench) -> Row:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        said = await bench.ask(row, "Say something about {text}")
        at_once -= 1
        return row.having(question=f"{row.id}?", answer=said)

    pipeline = Pipeline(name="counted", steps=lambda _: [counted])
    completer = told()
    completer.latency_s = 0.002
    outcome = await made(completer, pipeline=pipeline, rows=50, sections=200, options={"window": 7})
    assert outcome.complete
    assert 2 <= most <= 7
    completer = told()
    completer.latency_s = 0.002
    await made(completer, pipeline=pipeline, rows=50, sections=200, folder="wide")
    # All rows are good: what was asked beyond the rows wanted is the margin of the first guess.
    assert 50 <= len(completer.asked) <= 66


async def test_a_step_that_drops_rows_without_a_word_does_not_hang(
    made: Synthesize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_STUCK_S", 0.05)

    async def every_fourth(rows: AsyncIterator[Row], _bench: Bench) -> AsyncIterator[Row]:
        async for row in rows:
            if int(row.id) % 4 == 0:
                yield row

    pipeline = Pipeline(name="silent", steps=lambda _: [every_fourth, riddle])
    with anyio.fail_after(60):
        outcome = await made(told(), pipeline=pipeline, rows=10, sections=60, options={"window": 8})
    assert outcome.complete
    with anyio.fail_after(60):
        outcome = await made(told(), pipeline=pipeline, rows=30, sections=60, folder="more", options={"window": 8})
    assert (outcome.complete, outcome.broke, outcome.manifest["accepted"]) == (False, False, 15)


async def test_a_step_that_returns_nothing_is_counted(made: Synthesize) -> None:
    @each
    async def picky(row: Row, _bench: Bench) -> Row | None:
        return row if int(row.id) % 2 else None

    outcome = await made(told(), pipeline=Pipeline(name="picky", steps=lambda _: [picky, riddle]), rows=60)
    assert outcome.manifest["rejected"] == {"dropped": 30}
    assert outcome.manifest["accepted"] == 30


async def test_the_ten_lines_of_the_docstring_are_a_pipeline(
    made: Synthesize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (flow.__doc__ or "").split("```python\n")[1].split("```")[0]
    (tmp_path / "my_riddles.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        pipeline = open_pipeline("my_riddles:pipeline")
        outcome = await made(told("I fall and never break."), pipeline=pipeline, rows=5)
    finally:
        sys.modules.pop("my_riddles", None)
    assert outcome.complete
    row = lines(tmp_path / "job")[0]
    assert row["messages"][0] == {"role": "user", "content": "I fall and never break."}
    assert row["messages"][1]["content"] == row["lineage"]["source"]["title"]


async def test_stopped_in_the_middle_it_goes_on_with_the_same_rows(made: Synthesize, tmp_path: Path) -> None:
    await made(WritingCompleter(), folder="whole")
    reached = anyio.Event()
    first = WritingCompleter(lambda _: reached.set() if len(first.asked) >= 15 else None, latency_s=0.005)

    async def begin() -> None:
        await made(first, folder="halved")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(begin)
        await reached.wait()
        tasks.cancel_scope.cancel()
    assert not list((tmp_path / "halved" / "made").iterdir())
    kept = AnswerBook(tmp_path / "halved")
    assert (kept.doubtful, len(kept.paid)) == (0, len(first.asked))
    second = WritingCompleter()
    outcome = await made(second, folder="halved")
    assert outcome.manifest["answers_reused"] >= len(first.asked)
    assert not set(first.times()) & set(second.times())
    for name in FILES:
        assert lines(tmp_path / "halved", name) == lines(tmp_path / "whole", name)


async def test_where_the_money_ends_it_stops_cleanly_and_more_goes_on(made: Synthesize, tmp_path: Path) -> None:
    await made(WritingCompleter(cost_usd=0.01), folder="rich")
    paid: dict[str, Any] = {"price": lambda _request: 0.01, "folder": "poor"}
    first = WritingCompleter(cost_usd=0.01)
    outcome = await made(first, limit_usd=0.255, **paid)
    assert (outcome.complete, outcome.broke) == (False, True)
    assert outcome.manifest["cost_usd"] == pytest.approx(0.25)
    assert len(first.asked) == 25
    assert outcome.manifest["accepted"] == len(lines(tmp_path / "poor"))
    second = WritingCompleter(cost_usd=0.01)
    outcome = await made(second, limit_usd=5.0, **paid)
    assert outcome.complete
    assert not set(first.times()) & set(second.times())
    assert [row["messages"] for row in lines(tmp_path / "poor")] == [
        row["messages"] for row in lines(tmp_path / "rich")
    ]


async def test_a_wave_that_the_money_does_not_cover_goes_out_in_parts(made: Synthesize) -> None:
    completer = WritingCompleter(cost_usd=0.01)
    # So much may a request cost, and costs a tenth: all rows set out, and few are affordable together.
    with anyio.fail_after(30):
        outcome = await made(completer, waves=True, price=lambda _request: 0.1, limit_usd=1.0)
    assert outcome.complete
    assert outcome.manifest["cost_usd"] <= 1.0
    assert 1 < max(completer.calls) <= 10
    with anyio.fail_after(30):
        outcome = await made(WritingCompleter(cost_usd=0.01), waves=True, price=lambda _request: 0.1, limit_usd=0.3,
                             folder="poor")  # fmt: skip
    assert (outcome.complete, outcome.broke) == (False, True)
    assert 0.2 < outcome.manifest["cost_usd"] <= 0.3


async def test_a_refused_account_ends_it_and_what_came_is_kept(made: Synthesize, tmp_path: Path) -> None:
    class Refusing(WritingCompleter):
        async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
            if len(self.asked) >= 6:
                raise PermissionError("the key is no good")
            async for answer in super().complete(requests):
                yield answer

    with pytest.RaisesGroup(PermissionError, flatten_subgroups=True):
        await made(Refusing(), options={"window": 1})
    kept = AnswerBook(tmp_path / "job")
    assert len(kept.paid) == 6
    assert kept.doubtful <= 1


async def test_what_was_paid_is_told_while_no_row_has_ended_yet(made: Synthesize) -> None:
    seen: list[Progress] = []
    await made(WritingCompleter(cost_usd=0.5), rows=4, on_progress=seen.append)
    early = [one for one in seen if not one.accepted and not one.rejected]
    assert max(one.cost_usd for one in early) >= 1.0
    assert max(one.requests for one in early) >= 2
