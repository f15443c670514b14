"""An answer read back from what Gemini sent, whatever it sent: never silently no good. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.providers.contract import Answer
from broker.providers.foreign_json import Item, entries, fields
from broker.providers.gemini import endings
from broker.providers.gemini.repetition import loop
from broker.providers.prices import AnswerPrices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What is quoted of a looping text.
_QUOTED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one answer.

    Attributes:
        prompt: Of the prompt, cached ones among them.
        answer: Of the answer and of the thoughts before it: both are billed.
        thoughts: Of the thoughts alone.
        cached: Of the prompt, billed as cached.
    """

    prompt: int
    answer: int
    thoughts: int
    cached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Reads the answers of one model.

    Attributes:
        model: Its name.
        prices: What its answers cost.
    """

    model: str
    prices: AnswerPrices

    def answer(
        self, request_id: str, found: Mapping[str, Any], *, latency_s: float = 0.0, batch: bool = False
    ) -> Answer:
        """Return what a `GenerateContentResponse` says; what is no good has a `failure`, and costs all the same.

        Args:
            request_id: The caller's id.
            found: The response as JSON.
            latency_s: Seconds it took.
            batch: It came by a batch.
        """
        used = usage(found)
        text, reason, failure = _outcome(found, used)
        cost = self.prices.answered(self.model, used.prompt, used.answer, cached=used.cached, batch=batch)
        return Answer(
            id=request_id,
            text=text,
            finish_reason=reason,
            input_tokens=used.prompt,
            output_tokens=used.answer,
            cost_usd=cost,
            latency_s=latency_s,
            failure=failure,
        )


def usage(found: Mapping[str, Any]) -> Usage:
    """Return the tokens that a response counts; thoughts are output, results of tools are input.

    Args:
        found: The response as JSON.
    """
    counts = fields(found.get("usageMetadata"))
    thoughts = _count(counts, "thoughtsTokenCount")
    return Usage(
        prompt=_count(counts, "promptTokenCount") + _count(counts, "toolUsePromptTokenCount"),
        answer=_count(counts, "candidatesTokenCount") + thoughts,
        thoughts=thoughts,
        cached=_count(counts, "cachedContentTokenCount"),
    )


def _outcome(found: Mapping[str, Any], used: Usage) -> tuple[str, str, str | None]:
    """Return text, finish reason and failure."""
    first = fields(next(iter(entries(found.get("candidates"))), None))
    if not first:
        return "", *_unanswered(fields(found.get("promptFeedback")))
    text = _text(first)
    raw = str(first.get("finishReason") or "FINISH_REASON_UNSPECIFIED")
    reason = endings.ending(raw)
    if raw not in endings.GOOD:
        return text, reason, f"{reason}: {_stopped(raw, first)}"
    if repeated := loop(text):
        what = f"{endings.REPETITION}: the answer repeats {repeated[:_QUOTED]!r} up to its end"
        return text, endings.REPETITION, what
    return text, reason, None if text.strip() else _empty(reason, used)


def _text(candidate: Item) -> str:
    parts = [fields(part) for part in entries(fields(candidate.get("content")).get("parts"))]
    return "".join(str(part.get("text") or "") for part in parts if part.get("thought") is not True)


def _empty(reason: str, used: Usage) -> str:
    if reason == endings.LENGTH and used.thoughts:
        fix = "raise max_tokens, or lower the option thinking_budget or thinking_level"
        return f"empty: all {used.answer} tokens went into thinking; {fix}"
    return f"empty: Gemini ended with {'MAX_TOKENS' if reason == endings.LENGTH else 'STOP'} and no text"


def _unanswered(feedback: Item) -> tuple[str, str]:
    """Return finish reason and failure of an answer without candidates."""
    reason = str(feedback.get("blockReason") or "")
    if not reason:
        return endings.NO_CANDIDATES, f"{endings.NO_CANDIDATES}: no candidates came, and no reason was given"
    words = [f"the prompt was blocked ({reason}: {endings.BLOCKS.get(reason, 'a reason unknown here')})"]
    said = str(feedback.get("blockReasonMessage") or "")
    return endings.BLOCKED, f"{endings.BLOCKED}: " + "; ".join([*words, *([said] if said else []), *_ratings(feedback)])


def _stopped(raw: str, candidate: Item) -> str:
    explained = endings.EXPLAINED.get(raw, "" if raw in endings.ENDINGS else "a finish reason unknown here")
    said = str(candidate.get("finishMessage") or "")
    parts = [raw + (f" ({explained})" if explained else ""), said, *_ratings(candidate), *_sources(candidate)]
    return "; ".join(part for part in parts if part)


def _ratings(rated: Item) -> Iterator[str]:
    """Yield the categories that did it: those marked as blocked, else those of high probability."""
    ratings = [fields(one) for one in entries(rated.get("safetyRatings"))]
    bad = [one for one in ratings if one.get("blocked") is True] or [
        one for one in ratings if one.get("probability") in ("MEDIUM", "HIGH")
    ]
    for one in bad:
        yield f"{one.get('category')} {one.get('probability') or ''}".strip()


def _sources(candidate: Item) -> Iterator[str]:
    cited = fields(candidate.get("citationMetadata"))
    # The second name is the SDK's, in what it shows of a batch.
    for source in [*entries(cited.get("citationSources")), *entries(cited.get("citations"))]:
        if uri := fields(source).get("uri"):
            yield str(uri)


def _count(counts: Item, name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
