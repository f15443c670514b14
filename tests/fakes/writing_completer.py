"""A completer that answers by the sandbox's writer, and otherwise where a test says so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import anyio

from broker.providers.contract import Answer, CompletionRequest
from broker.sandbox.writer import write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Otherwise = Callable[[CompletionRequest], Answer | None]


def nothing_else(_request: CompletionRequest) -> Answer | None:
    return None


def task_of(request: CompletionRequest) -> str:
    """Return the first line of a prompt of ours without its `Task: `."""
    return str(request.messages[-1]["content"]).splitlines()[0].removeprefix("Task: ")


@dataclass(slots=True)
class WritingCompleter:
    """Answers by rules.

    Attributes:
        otherwise: Returns another answer where one is wanted (its id does not matter).
        cost_usd: Of each answer.
        latency_s: Time that an answer takes.
        asked: Every request, in order.
        calls: How many requests each call of `complete` held.
    """

    otherwise: Otherwise = nothing_else
    cost_usd: float = 0.0
    latency_s: float = 0.0
    asked: list[CompletionRequest] = field(default_factory=list[CompletionRequest])
    calls: list[int] = field(default_factory=list[int])
    closed: bool = False

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        self.calls.append(len(requests))
        self.asked += requests
        for request in requests:
            await anyio.sleep(self.latency_s)
            yield self._answer(request)

    def _answer(self, request: CompletionRequest) -> Answer:
        other = self.otherwise(request)
        if other is not None:
            return replace(other, id=request.id)
        prompt = str(request.messages[-1]["content"])
        text = write(prompt, seed=request.decoding.seed, schema=request.schema)
        return Answer(id=request.id, text=text, input_tokens=100, output_tokens=20, cost_usd=self.cost_usd)

    async def aclose(self) -> None:
        self.closed = True

    def times(self) -> Counter[str]:
        """Return how often each request was made."""
        return Counter(request.id for request in self.asked)


class SpellingEncoder:
    """Stands where the torch processes do: the vector of a text counts its trigrams, so that like texts are alike."""

    async def call(self, op: str, args: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert op == "embed"
        return {"vectors": [spelled(text) for text in args["texts"]]}


def spelled(text: str, size: int = 256) -> list[float]:
    """Return a vector of length 1."""
    padded = f" {text.casefold()} "
    counts = Counter(crc32(padded[start : start + 3].encode()) % size for start in range(len(padded) - 2))
    norm = sum(count * count for count in counts.values()) ** 0.5
    return [counts[place] / norm for place in range(size)]


def said(value: Any, **more: Any) -> Answer:
    """Return an answer that says a JSON value, or a text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Answer(id="", text=text, **more)
