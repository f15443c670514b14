"""Asks many prompts at once: as many in the air as the account bears, every row answered or counted as failed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from broker.providers.contract import Advice, Answer, CompletionRequest, Verdict
from broker.providers.verdicts import as_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How one model is asked, round by round.

    Attributes:
        ask: Asks one prompt, as often as it takes.
        tasks: Where the asking runs, so that the caller may take its time.
        concurrency: Most prompts in the air.
        foreign: What `ask` may raise because of the other side; everything else is a mistake of ours.
        read: Says what such an exception means.
        of_account: Codes of refusals that every row of the account would meet: going on would only turn all rows into
            failures.
        where: What is being done, for messages.
    """

    ask: Callable[[CompletionRequest], Awaitable[Answer]]
    tasks: TaskGroup
    concurrency: int
    foreign: tuple[type[Exception], ...]
    read: Callable[[BaseException], Verdict]
    of_account: frozenset[str]
    where: str

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request, in the order in which they come.

        Args:
            requests: The prompts.

        Raises:
            ProviderError: The account as a whole is refused; the answers that came before have been yielded.
        """
        send, receive = anyio.create_memory_object_stream[Answer](math.inf)
        round_ = _Round(rounds=self, waiting=deque(requests), send=send)
        self.tasks.start_soon(round_.run)
        try:
            async for answer in receive:
                yield answer
            if round_.refused is not None:
                raise as_error(round_.refused, where=self.where)
        finally:
            round_.scope.cancel()
            receive.close()


@dataclass(slots=True)
class _Round:
    """One call of `complete`."""

    rounds: Rounds
    waiting: deque[CompletionRequest]
    send: MemoryObjectSendStream[Answer]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    refused: Verdict | None = None

    async def run(self) -> None:
        with self.scope, self.send:
            async with anyio.create_task_group() as tasks:
                for _ in range(min(len(self.waiting), self.rounds.concurrency)):
                    tasks.start_soon(self._work)

    async def _work(self) -> None:
        while self.waiting and self.refused is None:
            request = self.waiting.popleft()
            try:
                answer: Answer | None = await self.rounds.ask(request)
            except self.rounds.foreign as error:
                answer = self._failed(request, error)
            if answer is not None:
                self.send.send_nowait(answer)

    def _failed(self, request: CompletionRequest, error: Exception) -> Answer | None:
        verdict = self.rounds.read(error)
        if verdict.code in self.rounds.of_account or verdict.advice is Advice.RETRY_AT:
            self.refused = self.refused or verdict
            return None
        return Answer(id=request.id, failure=f"{verdict.code}: {verdict.message}", finish_reason="error")
