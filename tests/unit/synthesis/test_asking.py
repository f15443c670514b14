"""Asking: tries, stored answers, the money there is, and a clean stop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from broker.jobs.spec import Decoding
from broker.synthesis.answerbook import AnswerBook
from broker.synthesis.asking import TRIES, Asker
from broker.synthesis.pipelines.qa import QUESTION
from broker.synthesis.prompting import Prompt
from broker.synthesis.rows import RejectedError, Row
from tests.fakes.writing_completer import WritingCompleter, said

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from pathlib import Path

    from broker.providers.contract import Answer, CompletionRequest

pytestmark = pytest.mark.anyio
PROMPT = Prompt(name="riddle", text="Be brief.\n---\nA riddle about {what}, and {this}.")
GOOD = {"question": "Why?", "answer": "So."}


@asynccontextmanager
async def asking(completer: WritingCompleter, folder: Path, **more: Any) -> AsyncGenerator[Asker]:
    book = AnswerBook(folder)
    more = {"price": lambda _request: 0.0, "decoding": Decoding(max_tokens=64, temperature=0.7, seed=3), **more}
    try:
        yield Asker(completer, book, model="fake:writer", **more)
    finally:
        await book.close()


def in_turn(*answers: Answer) -> Callable[[CompletionRequest], Answer | None]:
    left = list(answers)
    return lambda _request: left.pop(0)


async def ask(asker: Asker, row: Row | None = None) -> Any:
    return await asker.ask(row or Row(id="r1"), PROMPT, QUESTION, {"what": "rain"})


async def test_each_try_is_another_draw_and_a_longer_one_where_the_last_was_cut_off(tmp_path: Path) -> None:
    cut = said('{"question": "Wh', finish_reason="length", output_tokens=64, cost_usd=0.1)
    completer = WritingCompleter(in_turn(cut, said("no JSON", cost_usd=0.1), said(GOOD, cost_usd=0.1)))
    row = Row(id="r1")
    async with asking(completer, tmp_path) as asker:
        assert await ask(asker, row) == GOOD
        assert asker.tally.requests == 3
    drawn = [request.decoding for request in completer.asked]
    assert [one.max_tokens for one in drawn] == [64, 128, 128]
    assert all(earlier.temperature < later.temperature <= 1 for earlier, later in pairwise(drawn[:2]))
    assert len({one.seed for one in drawn}) == 3
    assert completer.asked[0].messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A riddle about rain, and {this}."},
    )
    assert row.trail.attempts == {"riddle": 3}
    assert row.trail.prompts == {"riddle": PROMPT.sha256}
    assert row.trail.cost_usd == pytest.approx(0.3)


async def test_tries_end_and_a_blocked_prompt_is_not_asked_again(tmp_path: Path) -> None:
    completer = WritingCompleter(lambda _request: said("no JSON"))
    async with asking(completer, tmp_path / "malformed") as asker:
        with pytest.raises(RejectedError, match="no JSON") as caught:
            await ask(asker)
    assert (caught.value.reason, len(completer.asked)) == ("malformed", TRIES)
    completer = WritingCompleter(lambda _request: said("", failure="blocked: OTHER", finish_reason="blocked"))
    async with asking(completer, tmp_path / "blocked") as asker:
        with pytest.raises(RejectedError) as caught:
            await ask(asker)
    assert (caught.value.reason, len(completer.asked)) == ("blocked", 1)


@pytest.mark.parametrize("failure", [{}, {"failure": "SAFETY", "finish_reason": "safety"}])
async def test_a_stored_answer_is_never_asked_for_again(tmp_path: Path, failure: dict[str, Any]) -> None:
    first = WritingCompleter(lambda _request: said(GOOD, cost_usd=0.5, **failure))
    async with asking(first, tmp_path) as asker:
        await _whatever(asker)
    second = WritingCompleter(lambda _request: said(GOOD))
    async with asking(second, tmp_path) as asker:
        await _whatever(asker)
        assert (asker.tally.reused, asker.tally.cost_usd) == (1, 0.5)
    assert second.asked == []
    async with asking(second, tmp_path, decoding=Decoding(max_tokens=65, seed=3)) as asker:
        await _whatever(asker)
    assert len(second.asked) == 1


async def _whatever(asker: Asker) -> None:
    try:
        await ask(asker)
    except RejectedError:
        return


async def test_what_the_provider_did_not_answer_is_asked_for_again(tmp_path: Path) -> None:
    down = said("", failure="503", finish_reason="error")
    completer = WritingCompleter(lambda _request: down)
    async with asking(completer, tmp_path) as asker:
        with pytest.raises(RejectedError, match="503"):
            await ask(asker)
        assert asker.tally.requests == 0
    again = WritingCompleter(lambda _request: said(GOOD))
    async with asking(again, tmp_path) as asker:
        assert await ask(asker) == GOOD
    assert again.asked[0].id == completer.asked[0].id
    assert AnswerBook(tmp_path).doubtful == 0


async def test_a_request_that_is_found_again_in_its_batch_is_no_longer_doubtful(tmp_path: Path) -> None:
    for sessions in (1, 2):  # killed twice while it is out
        book = AnswerBook(tmp_path)
        await book.note_sent(["a", "b"])
        await book.close()
        assert AnswerBook(tmp_path).doubtful == 2 * sessions
    book = AnswerBook(tmp_path)
    await book.keep("a", said("found", taken_up=True))
    assert book.doubtful == 2
    await book.keep("b", said("asked again"))
    await book.close()
    assert (book.doubtful, AnswerBook(tmp_path).doubtful) == (2, 1)


async def test_the_money_is_never_passed_whatever_a_request_may_cost(tmp_path: Path) -> None:
    """Prices differ by row; each answer costs all that it may."""
    prices = {f"r{n}": 0.05 + 0.11 * (n % 5) for n in range(40)}
    by_text: dict[str, float] = {}

    def price(request: CompletionRequest) -> float:
        return by_text[str(request.messages[-1]["content"])]

    rejected: list[str] = []

    async def ask_for(asker: Asker, name: str) -> None:
        try:
            await asker.ask(Row(id=name), PROMPT, QUESTION, {"what": name})
        except RejectedError as error:
            rejected.append(error.reason)

    completer = WritingCompleter(lambda request: said(GOOD, cost_usd=price(request)), latency_s=0.001)
    asked = 0
    async with asking(completer, tmp_path, price=price, limit_usd=2.0) as asker, anyio.create_task_group() as tasks:
        for name, usd in prices.items():
            by_text[f"A riddle about {name}, and {{this}}."] = usd
            tasks.start_soon(ask_for, asker, name)
        with anyio.fail_after(20):
            await asker.broke.wait()
        assert 2.0 - max(prices.values()) < asker.tally.cost_usd <= 2.0 + 1e-9
        asked = len(completer.asked)
        await asker.drain()
        tasks.cancel_scope.cancel()
    assert len(completer.asked) == asked < len(prices)
    assert rejected == ["budget"] * (len(prices) - asked)
    book = AnswerBook(tmp_path)
    assert (book.doubtful, len(book.paid)) == (0, asked)


async def test_told_to_stop_what_is_out_comes_home_and_nothing_more_goes_out(tmp_path: Path) -> None:
    completer = WritingCompleter(lambda _request: said("no JSON"), latency_s=0.1)
    async with asking(completer, tmp_path) as asker, anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(asker.ask, Row(id=f"r{number}"), PROMPT, QUESTION, {"what": "rain"})
        while asker.tally.in_flight < 5:
            await anyio.lowlevel.checkpoint()
        asker.hurry()
        tasks.cancel_scope.cancel()
    assert len(completer.asked) == 5
    book = AnswerBook(tmp_path)
    assert (book.doubtful, len(book.paid)) == (0, 5)


class Queue(WritingCompleter):
    """An account that lets one request out at a time, and says when."""

    tells_leaving = True

    def __init__(self) -> None:
        super().__init__(lambda _request: said(GOOD))
        self.turn = anyio.Lock()
        self.left = anyio.Event()
        self.home = anyio.Event()

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        async with self.turn:
            for request in requests:
                assert request.leaving is not None
                await request.leaving()
                await request.leaving()  # sent again after a refusal: the same request
            self.left.set()
            await self.home.wait()
            async for answer in super().complete(requests):
                yield answer


async def test_only_what_really_left_is_noted_and_waited_for(tmp_path: Path) -> None:
    queue = Queue()
    async with asking(queue, tmp_path) as asker, anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(asker.ask, Row(id=f"r{number}"), PROMPT, QUESTION, {"what": "rain"})
        await queue.left.wait()
        await anyio.wait_all_tasks_blocked()
        assert asker.tally.in_flight == 4
        assert AnswerBook(tmp_path).doubtful == 1
        asker.hurry()
        queue.home.set()
        with anyio.fail_after(5):
            await asker.drain()
        tasks.cancel_scope.cancel()
    book = AnswerBook(tmp_path)
    assert (book.doubtful, len(book.paid)) == (0, 1)
