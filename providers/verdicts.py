"""From a provider's reading of an exception to the broker's own errors, and back. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from broker.errors import (
    BrokerError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
)
from broker.providers.contract import Advice, Verdict
from broker.providers.secrecy import Censor

# Statuses that ask for fewer requests at once.
OVERLOADED = frozenset({500, 502, 503, 504, 529})
LONGEST_TEXT = 600


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


def host_of(base_url: str) -> str:
    """Return where an API is, for messages: the host, with its port if one is given.

    Args:
        base_url: Of the API.
    """
    parts = urlsplit(base_url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or base_url


def never(code: str, message: str, fix: str) -> Verdict:
    """Return the verdict that nothing was done and trying again is of no use.

    Args:
        code: A short word.
        message: What was said, without secrets.
        fix: What to do.
    """
    return Verdict(advice=Advice.NEVER, code=code, message=message, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReader(ABC):
    """Reads the exceptions that one account's SDK raises.

    Attributes:
        censor: Removes secrets.
        host: Where the account's API is, for messages.
    """

    # Raised before a single byte of the request has left; and where no answer came, or half of one.
    not_sent: ClassVar[tuple[type[Exception], ...]]
    silent: ClassVar[tuple[type[Exception], ...]]

    censor: Censor
    host: str

    def read(self, error: BaseException, *, creating: bool = False) -> Verdict:
        """Say what an exception means.

        Args:
            error: Raised by the SDK, or by the provider.
            creating: The call creates something that must not exist twice.
        """
        if (verdict := carried(error)) is not None:
            return verdict
        return self.refusal(error, creating=creating) or self.silence(error, creating=creating)

    def raised(self, error: BaseException, *, creating: bool = False, where: str = "") -> ProviderError:
        """Return one of our own errors for an exception; raise it `from None`: the SDK's holds request headers.

        Args:
            error: Raised by the SDK.
            creating: The call creates something that must not exist twice.
            where: What was being done.
        """
        return as_error(self.read(error, creating=creating), where=where)

    @abstractmethod
    def refusal(self, error: BaseException, *, creating: bool) -> Verdict | None:
        """Read what the server answered; None when it did not answer.

        Args:
            error: Raised by the SDK.
            creating: The call creates something that must not exist twice.
        """

    def cause(self, error: BaseException) -> BaseException | None:
        """Return what lies behind an exception of the SDK.

        Args:
            error: Raised by the SDK.
        """
        return error

    def silence(self, error: BaseException, *, creating: bool) -> Verdict:
        """Read an exception without an answer of the server.

        Args:
            error: Raised by the SDK.
            creating: The call creates something that must not exist twice.
        """
        cause = self.cause(error)
        words = self.words(f"{type(cause).__name__}: {cause}".rstrip(": "))
        if isinstance(cause, self.not_sent):
            message, fix = f"{self.host} cannot be reached: {words}", "check the base URL and the network"
            return Verdict(advice=Advice.RETRY, code="unreachable", message=message, fix=fix)
        silent = isinstance(error, self.silent)
        advice = Advice.UNKNOWN if creating or not silent else Advice.RETRY
        code = "no_answer" if silent else "unexpected"
        return Verdict(advice=advice, code=code, message=f"no usable answer from {self.host}: {words}")

    def failed(self, what: str, text: str, *, creating: bool, code: str = "unavailable") -> Verdict:
        """Return the verdict that the server failed: a creating call may have been done all the same.

        Args:
            what: What the server did.
            text: Its words.
            creating: The call creates something that must not exist twice.
            code: A short word.
        """
        advice = Advice.UNKNOWN if creating else Advice.RETRY
        return Verdict(advice=advice, code=code, message=f"{self.host} {what}: {text}")

    def limited(self, text: str, after_s: float | None) -> Verdict:
        """Return the verdict that there were too many requests.

        Args:
            text: The server's words.
            after_s: When to come back, if it said so.
        """
        message = f"{self.host} asks for fewer requests: {text}"
        return Verdict(advice=Advice.RETRY_AT, code="rate_limited", message=message, after_s=after_s)

    def words(self, text: str) -> str:
        """Return a text as people may see it: without secrets, and not too long."""
        return self.censor(text)[:LONGEST_TEXT]
