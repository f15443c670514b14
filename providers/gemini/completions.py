"""Asks a model live, and keeps out what cannot be asked at all."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from google.genai import types

from broker.providers.contract import Answer, Completer, CompletionRequest
from broker.providers.foreign_json import json_object
from broker.providers.gemini.answers import Readings
from broker.providers.gemini.connection import Connection
from broker.providers.gemini.faults import FOREIGN, OF_THE_ACCOUNT
from broker.providers.gemini.questions import Questions
from broker.providers.rounds import LiveCompleter, Once

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from broker.providers.contract import Verdict
    from broker.providers.foreign_json import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCompleter(LiveCompleter):
    """Asks one model by `generateContent`.

    Attributes:
        connection: The account.
        questions: How the model is asked.
        readings: How its answers are read.
    """

    foreign = FOREIGN
    of_account = OF_THE_ACCOUNT
    where = "generateContent"

    connection: Connection
    questions: Questions
    readings: Readings

    def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request, in the order in which they come.

        Raises:
            MissingCredentialError: At once, when there is no key.
        """
        self.connection.require_key()
        return LiveCompleter.complete(self, requests)

    def verdict(self, error: BaseException) -> Verdict:
        """Say what an exception means."""
        return self.connection.reader.read(error)

    async def sending(self, request: CompletionRequest) -> Once:
        """Make a request ready and return what sends it."""
        body = self.questions.body(request)
        contents, config = contents_of(body), config_of(body)
        client, model = await self.connection.client(), self.readings.model

        async def once() -> tuple[Item, Mapping[str, str]]:
            response = await client.models.generate_content(model=model, contents=contents, config=config)
            raw = response.sdk_http_response or types.HttpResponse()
            return json_object(raw.body), {name.lower(): value for name, value in (raw.headers or {}).items()}

        return once

    def read(self, request_id: str, found: Item, *, latency_s: float) -> Answer:
        """Return the answer that a response holds."""
        return self.readings.answer(request_id, found, latency_s=latency_s)

    def tokens(self, request: CompletionRequest) -> float:
        """Return the tokens that a request may use."""
        return self.questions.tokens(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedCompleter:
    """Passes on what can be asked; the rest is told as failed, row by row.

    Attributes:
        questions: Knows what can be asked.
        inner: Asks it.
    """

    questions: Questions
    inner: Completer

    @property
    def tells_leaving(self) -> bool:
        """Say whether the inner one awaits `leaving` of every request."""
        return bool(getattr(self.inner, "tells_leaving", False))

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request.

        Args:
            requests: The prompts.
        """
        good: list[CompletionRequest] = []
        for request in requests:
            if problem := self.questions.problem(request):
                yield Answer(id=request.id, failure=problem, finish_reason="error")
            else:
                good.append(request)
        async with aclosing(cast("AsyncGenerator[Answer]", self.inner.complete(good))) as answers:
            async for answer in answers:
                yield answer

    async def aclose(self) -> None:
        """Release what the inner one holds."""
        await self.inner.aclose()


def contents_of(body: Item) -> list[types.Content]:
    """Return the turns of a body as the SDK takes them.

    Args:
        body: Of `generateContent`.
    """
    return [types.Content.model_validate(turn) for turn in body["contents"]]


def config_of(body: Item, *, raw: bool = True) -> types.GenerateContentConfig:
    """Return everything else of a body as the SDK takes it, with the SDK's own doings off.

    The raw answer is asked for: the SDK drops `finishMessage`, turns unknown words into enums and an array into an
    empty answer, and would by itself go on asking where an answer is to be continued, or call functions.

    Args:
        body: Of `generateContent`.
        raw: It is for a call, and not for a row of a batch.
    """
    beside = ("systemInstruction", "safetySettings")
    told: Item = {**body["generationConfig"], **{name: body[name] for name in beside if name in body}}
    thinking = told.pop("thinkingConfig", None)
    config = types.GenerateContentConfig.model_validate(told)
    if thinking:  # as it is: of a model of its own the SDK writes the fields in snake case
        vars(config)["thinking_config"] = thinking
    if not raw:
        return config
    config.should_return_http_response = True
    config.automatic_continuation = False
    config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
    return config
