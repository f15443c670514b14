"""Asks many prompts at once: as many in the air as the account bears, every row answered or counted as failed.

`LiveCompleter` is what every remote provider asks live with; a provider says only how one request is sent and read.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from broker.gateway import Gate, Reply, read_headers
from broker.providers.contract import Advice, Answer, CompletionRequest, Verdict
from broker.providers.verdicts import as_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker.providers.foreign_json import Item

# Sends a request once; returns the JSON object that came, and the headers by their names in lower case.
Once = Callable[[], Awaitable[tuple["Item", "Mapping[str, str]"]]]


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
                with suppress(anyio.BrokenResourceError):  # who asked has gone, an instant before it came
                    self.send.send_nowait(answer)

    def _failed(self, request: CompletionRequest, error: Exception) -> Answer | None:
        verdict = self.rounds.read(error)
        if verdict.code in self.rounds.of_account or verdict.advice is Advice.RETRY_AT:
            self.refused = self.refused or verdict
            return None
        return Answer(id=request.id, failure=f"{verdict.code}: {verdict.message}", finish_reason="error")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCompleter(ABC):
    """Asks one model live.

    Attributes:
        gate: The account's limits, shared by everything that asks there.
        tasks: Where the asking runs, so that the caller may take its time.
        timeout_s: Longest time for one answer.
    """

    # As in `Rounds`.
    foreign: ClassVar[tuple[type[Exception], ...]]
    of_account: ClassVar[frozenset[str]]
    where: ClassVar[str]

    gate: Gate
    tasks: TaskGroup
    timeout_s: float

    @property
    def tells_leaving(self) -> bool:
        """Say that it awaits `leaving` of every request."""
        return True

    @abstractmethod
    def verdict(self, error: BaseException) -> Verdict:
        """Say what an exception means."""

    @abstractmethod
    async def sending(self, request: CompletionRequest) -> Once:
        """Make a request ready and return what sends it, once each time."""

    @abstractmethod
    def read(self, request_id: str, found: Item, *, latency_s: float) -> Answer:
        """Return the answer that a JSON object holds."""

    @abstractmethod
    def tokens(self, request: CompletionRequest) -> float:
        """Return the tokens that a request may use, as a rate limit counts them."""

    def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request, in the order in which they come.

        Args:
            requests: The prompts.

        Raises:
            ProviderError: The account as a whole is refused; the answers that came before have been yielded.
        """
        rounds = Rounds(
            ask=self.ask,
            tasks=self.tasks,
            concurrency=self.gate.limits.concurrency,
            foreign=self.foreign,
            read=self.verdict,
            of_account=self.of_account,
            where=self.where,
        )
        return rounds.complete(requests)

    async def ask(self, request: CompletionRequest) -> Answer:
        """Ask one prompt, as often as it takes.

        Args:
            request: The prompt.
        """
        once = await self.sending(request)

        async def send() -> Reply[Answer]:
            if request.leaving is not None:
                await request.leaving()
            begun = anyio.current_time()
            with anyio.fail_after(self.timeout_s):
                found, headers = await once()
            answer = self.read(request.id, found, latency_s=anyio.current_time() - begun)
            used = answer.input_tokens + answer.output_tokens
            return Reply(value=answer, seen=read_headers(headers), tokens=used or None)

        return await self.gate.call(send, tokens=self.tokens(request))

    async def aclose(self) -> None:  # noqa: B027 - the same for every provider
        """Have nothing to release: the connections belong to the account."""
