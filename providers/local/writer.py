"""The model `sandbox-writer`: answers by rules, in this process, without torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from broker.errors import Problem
from broker.jobs.datasets.tokens import BYTES_PER_TOKEN, estimate_tokens
from broker.providers.contract import Answer
from broker.sandbox.writer import NAME, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.jobs.spec import ModelRef
    from broker.providers.contract import CompletionRequest


class WriterCompleter:
    """Asks the sandbox's writer. Tokens are the broker's estimate; an answer ends at `max_tokens` of them."""

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield one answer for each request, in their order; a JSON schema is honoured.

        Args:
            requests: What to answer. The decoding's seed chooses among the answers, the temperature does nothing.
        """
        for request in requests:
            yield await to_thread.run_sync(_answer, request)

    async def aclose(self) -> None:
        """Release nothing: nothing is held."""


def check_writer(model: ModelRef) -> list[Problem]:
    """Return what stands against asking the writer: it has no weights, so nothing can be put on top of them.

    Args:
        model: Its reference.
    """
    if model.adapter is None:
        return []
    return [Problem(where=NAME, what="the writer works by rules and takes no adapter", fix="leave the adapter out")]


def check_tuning() -> list[Problem]:
    """Return the problem of a job that would tune the writer."""
    what = f"{NAME} works by rules: there is nothing to tune"
    return [Problem(where="--model", what=what, fix="--model sandbox; the writer makes its training rows")]


def _answer(request: CompletionRequest) -> Answer:
    began = time.monotonic()
    asked = [_text(message) for message in request.messages]
    text = write(asked[-1], seed=request.decoding.seed, schema=request.schema)
    ends = [text.find(stop) for stop in request.stop if stop in text]
    text = text[: min(ends)] if ends else text
    cut = estimate_tokens(text) > request.decoding.max_tokens
    if cut:
        text = text.encode()[: request.decoding.max_tokens * BYTES_PER_TOKEN].decode(errors="ignore")
    return Answer(
        id=request.id,
        text=text,
        finish_reason="length" if cut else "stop",
        input_tokens=sum(map(estimate_tokens, asked)),
        output_tokens=estimate_tokens(text),
        latency_s=time.monotonic() - began,
    )


def _text(message: Any) -> str:
    content: Any = message.get("content") or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)
