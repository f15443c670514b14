"""Asks a model live: as many requests in the air as the account bears, every row answered or counted as failed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import openai
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from broker.gateway import Gate, Reply, read_headers
from broker.providers.contract import Advice, Answer, CompletionRequest, Verdict
from broker.providers.openai_tuning.connection import FOREIGN, Connection, json_object
from broker.providers.openai_tuning.faults import as_error
from broker.providers.openai_tuning.questions import Questions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


# Refusals that every row of the account would meet: going on would only turn all rows into failures.
_OF_THE_ACCOUNT = frozenset({"unauthorized", "forbidden", "tuning_closed", "insufficient_quota", "not_found"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCompleter:
    """Asks one model by chat completions.

    Attributes:
        connection: The account.
        gate: Its limits, shared by everything that asks there.
        questions: How the model is asked.
        tasks: Where the asking runs, so that the caller may take its time.
        timeout_s: Longest time for one answer.
    """

    connection: Connection
    gate: Gate
    questions: Questions
    tasks: TaskGroup
    timeout_s: float = 120.0

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request, in the order in which they come.

        Args:
            requests: The prompts.

        Raises:
            ProviderError: The account as a whole is refused; the answers that came before have been yielded.
        """
        send, receive = anyio.create_memory_object_stream[Answer](math.inf)
        waiting = deque((request, self.questions.body(request)) for request in requests)
        round_ = _Round(completer=self, waiting=waiting, send=send)
        self.tasks.start_soon(round_.run)
        try:
            async for answer in receive:
                yield answer
            if round_.refused is not None:
                raise as_error(round_.refused, where="chat.completions")
        finally:
            round_.scope.cancel()
            receive.close()

    async def ask(self, request: CompletionRequest, body: dict[str, Any]) -> Answer:
        """Ask one prompt, as often as it takes.

        Args:
            request: The prompt.
            body: The same as the body of the call.
        """
        client = self.connection.answering

        async def send() -> Reply[Answer]:
            begun = anyio.current_time()
            with anyio.fail_after(self.timeout_s):
                # The SDK's `create` spends a third of a request's time on walking the body by its types.
                response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            taken_s = anyio.current_time() - begun
            answer = self.questions.answer(request.id, json_object(response), latency_s=taken_s)
            used = answer.input_tokens + answer.output_tokens
            return Reply(value=answer, seen=read_headers(response.headers), tokens=used or None)

        return await self.gate.call(send, tokens=self.questions.tokens(request))

    async def aclose(self) -> None:
        """Have nothing to release: the connections belong to the account."""


@dataclass(slots=True)
class _Round:
    """One call of `complete`."""

    completer: LiveCompleter
    waiting: deque[tuple[CompletionRequest, dict[str, Any]]]
    send: MemoryObjectSendStream[Answer]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    refused: Verdict | None = None

    async def run(self) -> None:
        with self.scope, self.send:
            async with anyio.create_task_group() as tasks:
                for _ in range(min(len(self.waiting), self.completer.gate.limits.concurrency)):
                    tasks.start_soon(self._work)

    async def _work(self) -> None:
        while self.waiting and self.refused is None:
            request, body = self.waiting.popleft()
            try:
                answer: Answer | None = await self.completer.ask(request, body)
            except FOREIGN as error:
                answer = self._failed(request, error)
            if answer is not None:
                self.send.send_nowait(answer)

    def _failed(self, request: CompletionRequest, error: Exception) -> Answer | None:
        verdict = self.completer.connection.reader.read(error)
        of_account = verdict.code in _OF_THE_ACCOUNT or verdict.advice is Advice.RETRY_AT
        if of_account or isinstance(error, openai.AuthenticationError):
            self.refused = self.refused or verdict
            return None
        return Answer(id=request.id, failure=f"{verdict.code}: {verdict.message}", finish_reason="error")
