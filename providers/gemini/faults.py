"""Reads every exception of the official SDK: what it means, what to do, in words without secrets.

| from the server | advice | code |
|---|---|---|
| 400 `API_KEY_INVALID`, 401 | never | `unauthorized` |
| 400 `FAILED_PRECONDITION`, 403 | never | `forbidden` |
| other 400, other 4xx | never | Google's status in lower case, as `invalid_argument` |
| 404 | never | `not_found`; the fix names living models |
| 409 `ALREADY_EXISTS` | never | `already_exists` |
| 429 | retry at the time told by `RetryInfo`, else by the message, else by `Retry-After` | `rate_limited` |
| 429 of a daily quota, or of a quota of nothing | never | `quota_exhausted` |
| 408, 499, other 409, 5xx | retry; unknown for a creating call | `unavailable` |
| 2xx without an object, 3xx | retry; unknown for a creating call | `no_answer` |
| no connection | retry | `unreachable` |
| connection broke, time-out, half an answer | retry; unknown for a creating call | `no_answer` |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx2
from google.genai import errors
from pydantic import ValidationError

from broker.gateway import Fate, Judgement, Seen, read_headers
from broker.gateway.limits import duration_s
from broker.providers.foreign_json import Item, MalformedAnswerError, entries, fields
from broker.providers.verdicts import OVERLOADED, ErrorReader, never

if TYPE_CHECKING:
    from broker.providers.contract import Verdict


def _of_aiohttp(name: str) -> tuple[type[Exception], ...]:
    """Return an exception of aiohttp, which the SDK runs on where it is installed."""
    return (getattr(import_module("aiohttp"), name),) if find_spec("aiohttp") else ()


# Raised before a single byte of the request has left.
_NOT_SENT: tuple[type[Exception], ...] = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    *_of_aiohttp("ClientConnectorError"),
)
# No answer came, or half of one.
_SILENT: tuple[type[Exception], ...] = (
    httpx2.HTTPError,
    *_of_aiohttp("ClientError"),
    TimeoutError,
    MalformedAnswerError,
    json.JSONDecodeError,
    errors.UnknownApiResponseError,
    ValidationError,
)
# What the SDK and a broken answer raise; everything else is a mistake of ours.
FOREIGN: tuple[type[Exception], ...] = (errors.APIError, *_SILENT)
# Refusals that every row of the account would meet.
OF_THE_ACCOUNT = frozenset({"unauthorized", "forbidden", "not_found", "quota_exhausted"})

_DOUBTFUL = frozenset({408, 499})
_REFUSAL = 400
_COME_BACK = re.compile(r"[Pp]lease retry in (\d+(?:\.\d+)?s)")
# Gateways put Google's answer as text into an answer of their own; so deep it is looked for.
_DEEPEST = 3
_KEY_FIX = "set GEMINI_API_KEY (or BROKER_GEMINI_API_KEY) to a valid key: https://aistudio.google.com/apikey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A `google.rpc.Status`, or whatever a server sent in its place.

    Attributes:
        status: As `RESOURCE_EXHAUSTED`.
        message: Google's words.
        details: The typed details.
    """

    status: str
    message: str
    details: tuple[Item, ...] = ()

    @classmethod
    def by(cls, error: errors.APIError) -> Said:
        """Read the body of an error."""
        sent: Any = getattr(error, "details", None)
        inner = _innermost(fields(sent))
        details = tuple(fields(one) for one in entries(inner.get("details")))
        message = str(inner.get("message") or error.message or sent or "")
        return cls(status=str(inner.get("status") or error.status or ""), message=message, details=details)

    @property
    def reasons(self) -> frozenset[str]:
        """Return the reasons of its `ErrorInfo`."""
        return frozenset(str(one.get("reason")) for one in self._typed("ErrorInfo"))

    @property
    def retry_s(self) -> float | None:
        """Return the seconds that its `RetryInfo` asks us to wait, else those that its words name."""
        said = _COME_BACK.search(self.message)
        words = [str(one.get("retryDelay") or "") for one in self._typed("RetryInfo")] + ([said[1]] if said else [])
        return next((seconds for seconds in map(duration_s, words) if seconds is not None), None)

    @property
    def used_up(self) -> str:
        """Return the quota that no short wait fills again: a day's, or one of nothing; empty when there is none."""
        for failure in self._typed("QuotaFailure"):
            for violation in map(fields, entries(failure.get("violations"))):
                quota = str(violation.get("quotaId") or violation.get("quotaMetric") or "a quota")
                if "PerDay" in quota or str(violation.get("quotaValue")) == "0":
                    value = violation.get("quotaValue")
                    return f"{quota} ({value})" if value else quota
        return ""

    def _typed(self, name: str) -> list[Item]:
        return [one for one in self.details if str(one.get("@type", "")).endswith(f"google.rpc.{name}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader(ErrorReader):
    """Reads exceptions of one account.

    Attributes:
        instead: Returns living models to use in place of one that is gone.
    """

    not_sent = _NOT_SENT
    silent = _SILENT

    instead: Callable[[str], tuple[str, ...]]

    def refusal(self, error: BaseException, *, creating: bool) -> Verdict | None:
        """Read what the server answered; None when it did not answer."""
        if not isinstance(error, errors.APIError):
            return None
        status, said = error.code, Said.by(error)
        text = self.words(said.message)
        if status < _REFUSAL:  # a 2xx without an object: whatever was asked for may have been done
            return self.silence(MalformedAnswerError(f"{status} {text}".strip()), creating=creating)
        if status == 429:
            return self._read_429(error, said, text)
        if status == 401 or "API_KEY_INVALID" in said.reasons:
            return never("unauthorized", f"{self.host} does not know the key: {text}", _KEY_FIX)
        if status == 403 or said.status == "FAILED_PRECONDITION":
            fix = "check that the key is alive, its project may use the Gemini API, and the region and billing allow it"
            return never("forbidden", f"{self.host} does not allow it: {text}", fix)
        if status == 404:
            return never("not_found", f"{self.host} knows no such thing: {text}", self._living(said.message))
        if status in _DOUBTFUL or status >= 500 or (status == 409 and said.status != "ALREADY_EXISTS"):
            return self.failed(f"failed ({status})", text, creating=creating)
        said_so = f"{self.host} refused the request ({status}): {text}"
        return never(said.status.lower().replace(" ", "_") or "bad_request", said_so, "change what it complains about")

    def _read_429(self, error: errors.APIError, said: Said, text: str) -> Verdict:
        if quota := said.used_up:
            fix = "wait until the quota is filled again (midnight, Pacific time), or raise the account's tier"
            return never("quota_exhausted", f"{self.host} has no quota left today: {quota}: {text}", fix)
        return self.limited(text, seen(error, said).retry_after_s)

    def _living(self, text: str) -> str:
        named = re.search(r"models/([\w.\-]+)", text)
        instead = self.instead(named[1]) if named else ()
        return f"use {' or '.join(instead)}" if instead else "check the model, the base URL and the option api_version"


def seen(error: errors.APIError, said: Said) -> Seen:
    """Return what a refusal said about the limits: Google's `RetryInfo`, else what the headers say.

    Args:
        error: Raised by the SDK.
        said: Its body.
    """
    headers: Mapping[str, Any] = getattr(getattr(error, "response", None), "headers", None) or {}
    told = read_headers({str(name).lower(): str(value) for name, value in headers.items()})
    return told if said.retry_s is None else Seen(retry_after_s=said.retry_s)


def judge(error: BaseException) -> Judgement:
    """Tell the gateway what an exception of a repeatable call means for its limits."""
    if not isinstance(error, errors.APIError):
        return Judgement(fate=Fate.RETRY if isinstance(error, _SILENT) else Fate.FINAL)
    said = Said.by(error)
    if error.code == 429:
        return Judgement(fate=Fate.FINAL if said.used_up else Fate.LIMITED, seen=seen(error, said))
    if error.code in OVERLOADED:
        return Judgement(fate=Fate.OVERLOADED)
    passing = (
        error.code < _REFUSAL or error.code in _DOUBTFUL or (error.code == 409 and said.status != "ALREADY_EXISTS")
    )
    return Judgement(fate=Fate.RETRY if passing else Fate.FINAL)


def _innermost(body: Item, depth: int = 0) -> Item:
    """Return the `google.rpc.Status` in a body, also where it stands as JSON in the message of another one."""
    inner = fields(body.get("error")) or body
    text = inner.get("message")
    if depth < _DEEPEST and isinstance(text, str) and text.lstrip().startswith("{"):
        try:
            deeper = fields(json.loads(text))
        except ValueError:
            return inner
        return _innermost(deeper, depth + 1) or inner
    return inner
