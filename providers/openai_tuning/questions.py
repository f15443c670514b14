"""A prompt as the body of a chat completion, and an answer read back from one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.providers.contract import Answer
from broker.providers.foreign_json import MalformedAnswerError, entries, fields
from broker.providers.prices import AnswerPrices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.providers.contract import CompletionRequest

_MOST_STOPS = 4
# Characters of a token, roughly, where no tokenizer is known.
_TOKEN_LENGTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """How one model is asked.

    Attributes:
        model: Its name.
        prices: What its answers cost.
        limit_field: How the server calls the largest number of tokens of an answer.
    """

    model: str
    prices: AnswerPrices
    limit_field: str = "max_completion_tokens"

    def body(self, request: CompletionRequest) -> dict[str, Any]:
        """Return the body of `POST /chat/completions`.

        Args:
            request: The prompt and how its answer is drawn.
        """
        decoding = request.decoding
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in request.messages],
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": decoding.seed,
            self.limit_field: decoding.max_tokens,
        }
        if request.stop:
            body["stop"] = list(request.stop[:_MOST_STOPS])
        if request.schema is not None:
            schema = dict(request.schema)
            form = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def answer(
        self, request_id: str, found: Mapping[str, Any], *, latency_s: float = 0.0, batch: bool = False
    ) -> Answer:
        """Return the answer that a chat completion holds.

        Args:
            request_id: The caller's id.
            found: The completion as the server sent it.
            latency_s: Seconds it took.
            batch: It came through the Batch API.

        Raises:
            MalformedAnswerError: It holds none.
        """
        first = fields(next(iter(entries(found.get("choices"))), None))
        said = fields(first.get("message"))
        if not said:
            raise MalformedAnswerError("a chat completion without a message")
        used, written, cached = _usage(found)
        # A refusal in words of its own field comes with `stop`, as if it were the answer.
        refused = said.get("refusal") if not said.get("content") else None
        return Answer(
            id=request_id,
            text=str(said.get("content") or refused or ""),
            finish_reason="refusal" if refused else str(first.get("finish_reason") or "stop"),
            input_tokens=used,
            output_tokens=written,
            cost_usd=self.prices.answered(self.model, used, written, cached=cached, batch=batch),
            latency_s=latency_s,
        )

    def tokens(self, request: CompletionRequest) -> float:
        """Return the tokens that a request may use, as a rate limit counts them: the prompt and the longest answer."""
        length = sum(len(str(message.get("content") or "")) for message in request.messages)
        return length / _TOKEN_LENGTH + request.decoding.max_tokens


def is_strict(schema: object) -> bool:
    """Say whether a JSON schema fits OpenAI's strict mode: every object closed, every property required."""
    if parts := entries(schema):
        return all(is_strict(part) for part in parts)
    part = fields(schema)
    if part.get("type") == "object":
        names = set(fields(part.get("properties")))
        if part.get("additionalProperties") is not False or names != set(entries(part.get("required"))):
            return False
    return all(is_strict(value) for value in part.values())


def _usage(found: Mapping[str, Any]) -> tuple[int, int, int]:
    usage = fields(found.get("usage"))
    cached = fields(usage.get("prompt_tokens_details")).get("cached_tokens")
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), int(cached or 0)
