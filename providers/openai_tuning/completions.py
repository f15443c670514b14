"""Asks a model live by chat completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from broker.providers.foreign_json import json_object
from broker.providers.openai_tuning.connection import FOREIGN, Connection
from broker.providers.openai_tuning.questions import Questions
from broker.providers.rounds import LiveCompleter, Once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.providers.contract import Answer, CompletionRequest, Verdict
    from broker.providers.foreign_json import Item

# Refusals that every row of the account would meet.
_OF_THE_ACCOUNT = frozenset({"unauthorized", "forbidden", "tuning_closed", "insufficient_quota", "not_found"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompleter(LiveCompleter):
    """Asks one model by chat completions.

    Attributes:
        connection: The account.
        questions: How the model is asked.
    """

    foreign = FOREIGN
    of_account = _OF_THE_ACCOUNT
    where = "chat.completions"

    connection: Connection
    questions: Questions

    def verdict(self, error: BaseException) -> Verdict:
        """Say what an exception means."""
        return self.connection.reader.read(error)

    async def sending(self, request: CompletionRequest) -> Once:
        """Make a request ready and return what sends it."""
        client, body = self.connection.answering, self.questions.body(request)

        async def once() -> tuple[Item, Mapping[str, str]]:
            # The SDK's `create` spends a third of a request's time on walking the body by its types.
            response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            return json_object(response.content), response.headers

        return once

    def read(self, request_id: str, found: Item, *, latency_s: float) -> Answer:
        """Return the answer that a completion holds."""
        return self.questions.answer(request_id, found, latency_s=latency_s)

    def tokens(self, request: CompletionRequest) -> float:
        """Return the tokens that a request may use."""
        return self.questions.tokens(request)
