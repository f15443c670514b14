"""Asks a model live: as many requests in the air as the account bears, every row answered or counted as failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import httpx2
from anyio.abc import TaskGroup

from broker.gateway import Gate, Reply, read_headers
from broker.providers.openai_tuning.connection import FOREIGN, Connection, json_object
from broker.providers.openai_tuning.questions import Questions
from broker.providers.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.providers.contract import Answer, CompletionRequest


# Refusals that every row of the account would meet.
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

    @property
    def tells_leaving(self) -> bool:
        """Say that it awaits `leaving` of every request."""
        return True

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
            foreign=FOREIGN,
            read=self.connection.reader.read,
            of_account=_OF_THE_ACCOUNT,
            where="chat.completions",
        )
        return rounds.complete(requests)

    async def ask(self, request: CompletionRequest) -> Answer:
        """Ask one prompt, as often as it takes.

        Args:
            request: The prompt.
        """
        client, body = self.connection.answering, self.questions.body(request)

        async def send() -> Reply[Answer]:
            if request.leaving is not None:
                await request.leaving()
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
