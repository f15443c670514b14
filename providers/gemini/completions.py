"""Asks a model live, and keeps out what cannot be asked at all."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import anyio
from anyio.abc import TaskGroup
from google.genai import types

from broker.gateway import Gate, Reply, read_headers
from broker.providers.contract import Answer, Completer, CompletionRequest
from broker.providers.gemini.answers import Readings
from broker.providers.gemini.connection import Connection
from broker.providers.gemini.faults import FOREIGN, OF_THE_ACCOUNT, json_object
from broker.providers.gemini.questions import Questions
from broker.providers.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from broker.providers.foreign_json import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCompleter:
    """Asks one model by `generateContent`.

    Attributes:
        connection: The account.
        gate: Its limits, shared by everything that asks there.
        questions: How the model is asked.
        readings: How its answers are read.
        tasks: Where the asking runs, so that the caller may take its time.
    """

    connection: Connection
    gate: Gate
    questions: Questions
    readings: Readings
    tasks: TaskGroup

    @property
    def tells_leaving(self) -> bool:
        """Say that it awaits `leaving` of every request."""
        return True

    def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request, in the order in which they come.

        Args:
            requests: The prompts.

        Raises:
            MissingCredentialError: At once, when there is no key.
            ProviderError: The account as a whole is refused; the answers that came before have been yielded.
        """
        self.connection.require_key()
        rounds = Rounds(
            ask=self.ask,
            tasks=self.tasks,
            concurrency=self.gate.limits.concurrency,
            foreign=FOREIGN,
            read=self.connection.reader.read,
            of_account=OF_THE_ACCOUNT,
            where="generateContent",
        )
        return rounds.complete(requests)

    async def ask(self, request: CompletionRequest) -> Answer:
        """Ask one prompt, as often as it takes.

        Args:
            request: The prompt.
        """
        body = self.questions.body(request)
        contents, config = contents_of(body), config_of(body)
        client = await self.connection.client()

        async def send() -> Reply[Answer]:
            if request.leaving is not None:
                await request.leaving()
            begun = anyio.current_time()
            with anyio.fail_after(self.connection.answer_s):
                response = await client.models.generate_content(
                    model=self.readings.model, contents=contents, config=config
                )
            taken_s = anyio.current_time() - begun
            raw = response.sdk_http_response or types.HttpResponse()
            answer = self.readings.answer(request.id, json_object(raw.body), latency_s=taken_s)
            headers = {name.lower(): value for name, value in (raw.headers or {}).items()}
            used = answer.input_tokens + answer.output_tokens
            return Reply(value=answer, seen=read_headers(headers), tokens=used or None)

        return await self.gate.call(send, tokens=self.questions.tokens(request))

    async def aclose(self) -> None:
        """Have nothing to release: the connections belong to the account."""


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
