"""What is known about an account's limits: told by a person, or read from an answer's headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a person told us about an account.

    Attributes:
        requests_per_minute: Most requests a minute; `None` is unknown: it is learned.
        tokens_per_minute: Most tokens a minute, prompts and answers together; `None` is unknown.
        concurrency: Most requests in the air at once.
        concurrency_told: A person named that number: it is begun with, and not only approached.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int = 128
    concurrency_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one answer said about the limits. Every part may be missing.

    Attributes:
        requests: Requests allowed a minute.
        requests_left: Requests left at the time of the answer.
        tokens: Tokens allowed a minute.
        tokens_left: Tokens left at the time of the answer.
        retry_after_s: Seconds for which the server asks us to be quiet.
    """

    requests: float | None = None
    requests_left: float | None = None
    tokens: float | None = None
    tokens_left: float | None = None
    retry_after_s: float | None = None


NOTHING_SEEN = Seen()


def read_headers(headers: Mapping[str, str], *, now: datetime | None = None) -> Seen:
    """Read OpenAI's `x-ratelimit-*` headers and `Retry-After` (seconds, milliseconds, or a date).

    Args:
        headers: Of an answer; names in lower case, or a mapping that does not mind.
        now: The time, for a `Retry-After` that is a date.

    Returns:
        What could be read; nonsense is left out.
    """
    return Seen(
        requests=_number(headers.get("x-ratelimit-limit-requests")),
        requests_left=_number(headers.get("x-ratelimit-remaining-requests")),
        tokens=_number(headers.get("x-ratelimit-limit-tokens")),
        tokens_left=_number(headers.get("x-ratelimit-remaining-tokens")),
        retry_after_s=_retry_after(headers, now or datetime.now(UTC)),
    )


def duration_s(text: str) -> float | None:
    """Return a duration such as `6m0s`, `120ms` or `1.5` in seconds; None when it is none."""
    text = text.strip()
    if (plain := _number(text)) is not None:
        return plain
    pieces = _PIECE.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in pieces)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    in_ms = _number(headers.get("retry-after-ms"))
    if in_ms is not None:
        return in_ms / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = duration_s(text)
    if seconds is not None:
        return seconds
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
