"""Whoever asks may leave at any instant; the tasks of the account, which all others share, go on."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel
import pytest

from broker.providers.contract import Advice, Answer, CompletionRequest, Verdict
from broker.providers.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def request(number: int) -> CompletionRequest:
    return CompletionRequest(id=f"r{number}", messages=({"role": "user", "content": "?"},))


@pytest.mark.anyio
async def test_an_answer_that_comes_as_the_caller_leaves_ends_nobody_elses_asking() -> None:
    left, came = anyio.Event(), list[str]()

    async def ask(asked: CompletionRequest) -> Answer:
        if asked.id != "r0":
            # The answer is there already: no cancellation reaches it.
            with anyio.CancelScope(shield=True):
                await left.wait()
        came.append(asked.id)
        return Answer(id=asked.id, text="!")

    async with anyio.create_task_group() as tasks:
        rounds = Rounds(
            ask=ask,
            tasks=tasks,
            concurrency=3,
            foreign=(),
            read=lambda _error: Verdict(advice=Advice.NEVER, code="", message=""),
            of_account=frozenset(),
            where="",
        )
        asking = cast("AsyncGenerator[Answer, None]", rounds.complete([request(number) for number in range(3)]))
        async with aclosing(asking) as answers:
            assert (await anext(answers)).id == "r0"
        left.set()
        while len(came) < 3:
            await anyio.lowlevel.checkpoint()
        assert [answer.id async for answer in rounds.complete([request(0)])] == ["r0"]
