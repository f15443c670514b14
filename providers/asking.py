"""Asking a model: a request, an answer, and whatever turns the one into the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from broker.jobs.spec import Decoding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One prompt.

    Attributes:
        id: The caller's own; comes back with the answer.
        messages: OpenAI chat messages (`role`, `content`), at least one.
        decoding: How the answer is drawn.
        schema: JSON schema that the answer must fit, if any.
        stop: Texts at which the answer ends.
        leaving: Awaited each time right before it goes out, by completers whose `tells_leaving` is true.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...]
    decoding: Decoding = field(default_factory=Decoding)
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    leaving: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, or the reason why there is none. A failed row is counted, never a zero and never a gap.

    Attributes:
        id: Of the request.
        text: The answer; what there is of it when `failure` is set.
        finish_reason: `stop`, `length`, `refusal`, `content_filter`, `safety`, … as the provider says.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens of the answer.
        cost_usd: What it cost, when known.
        latency_s: Seconds from the request's start to its end.
        batch: Which local batch it came from; rows of one batch are made together and again together.
        failure: Why there is no answer.
        taken_up: Its request went out in an earlier session, in a batch that was found again: it was paid once.
    """

    id: str
    text: str = ""
    finish_reason: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    batch: int | None = None
    failure: str | None = None
    taken_up: bool = False


@runtime_checkable
class Completer(Protocol):
    """Something that answers prompts."""

    def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield one answer for each request, in any order, as they come.

        The batches of a local model are planned over all requests given, in a fixed way, so the same call gives the
        same text. Close the iterator (`aclosing`) to stop early.
        """
        ...

    async def aclose(self) -> None:
        """Release what was opened for this model."""


@runtime_checkable
class OnThisMachine(Protocol):
    """A completer whose model the worker processes can load, so that it can be measured and not only asked."""

    async def loaded(self) -> dict[str, Any]:
        """Return `model`, `adapter` and `precision` as the ops of the workers take them."""
        ...
