"""From a provider's reading of an exception to the broker's own errors, and back. Pure."""

from __future__ import annotations

from broker.errors import (
    BrokerError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
)
from broker.providers.contract import Advice, Verdict


def as_error(verdict: Verdict, *, where: str = "") -> ProviderError:
    """Return the error that carries a verdict through the broker.

    Args:
        verdict: The reading.
        where: What was being done.
    """
    message, fix = verdict.message, verdict.fix
    if verdict.advice is Advice.UNKNOWN:
        error: ProviderError = OutcomeUnknownError(message, fix=fix, where=where)
    elif verdict.advice is Advice.NEVER:
        error = RefusedError(message, fix=fix, where=where)
    elif verdict.code == "rate_limited":
        error = RateLimitedError(message, fix=fix, where=where, retry_after_s=verdict.after_s)
    else:
        error = UnavailableError(message, fix=fix, where=where, retry_after_s=verdict.after_s)
    error.__dict__["verdict"] = verdict
    return error


def carried(error: BaseException) -> Verdict | None:
    """Return the verdict that an error of ours carries, or one made of its kind; None for anybody else's.

    Args:
        error: Any exception.
    """
    if isinstance(verdict := getattr(error, "verdict", None), Verdict):
        return verdict
    return _read_own(error) if isinstance(error, BrokerError) else None


def _read_own(error: BrokerError) -> Verdict:
    code = type(error).__name__.removesuffix("Error").lower()
    after_s = error.retry_after_s if isinstance(error, UnavailableError) else None
    if isinstance(error, OutcomeUnknownError):
        advice = Advice.UNKNOWN
    elif isinstance(error, UnavailableError):
        advice = Advice.RETRY if after_s is None else Advice.RETRY_AT
    else:
        advice = Advice.NEVER
    return Verdict(advice=advice, code=code, message=error.message, fix=error.fix, after_s=after_s)
