"""Reads every exception of the official SDK: what it means, what to do, in words without secrets.

| from the server | advice | code |
|---|---|---|
| 400, 422, other 4xx | never | the server's own, or `bad_request` |
| 401 | never | `unauthorized` |
| 403 | never | `forbidden`, `tuning_closed` for a creating call |
| 404 | never | `not_found` |
| 408, 5xx | retry; unknown for a creating call | `unavailable` |
| 409 | retry; unknown for a creating call | `conflict` |
| 429 | retry at the time told | `rate_limited` |
| 429 `insufficient_quota` | never | `insufficient_quota` |
| no connection | retry | `unreachable` |
| connection broke, time-out, half an answer | retry; unknown for a creating call | `no_answer` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx2
import openai

from broker.gateway import Fate, Judgement, read_headers
from broker.providers.contract import Advice, Verdict
from broker.providers.secrecy import Censor
from broker.providers.verdicts import as_error, carried

if TYPE_CHECKING:
    from broker.errors import ProviderError

# Raised before a single byte of the request has left.
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_OVERLOADED = frozenset({500, 502, 503, 504, 529})
_LONGEST_TEXT = 600


class MalformedAnswerError(Exception):
    """The server answered 2xx with something that is no such object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads exceptions of one account.

    Attributes:
        censor: Removes secrets.
        host: Where the account's API is, for messages.
        closed: What the service announced about tuning, for a 403 that says so.
    """

    censor: Censor
    host: str
    closed: str = ""

    def read(self, error: BaseException, *, creating: bool = False) -> Verdict:
        """Say what an exception means.

        Args:
            error: Raised by the SDK, or by this provider.
            creating: The call creates something that must not exist twice.
        """
        if (verdict := carried(error)) is not None:
            return verdict
        if isinstance(error, openai.APIStatusError):
            return self._read_status(error, creating=creating)
        return self._read_silence(error, creating=creating)

    def raised(self, error: BaseException, *, creating: bool = False, where: str = "") -> ProviderError:
        """Return one of our own errors for an exception; raise it `from None`: the SDK's holds request headers.

        Args:
            error: Raised by the SDK.
            creating: The call creates something that must not exist twice.
            where: What was being done.
        """
        return as_error(self.read(error, creating=creating), where=where)

    def _read_status(self, error: openai.APIStatusError, *, creating: bool) -> Verdict:
        status, (code, text) = error.status_code, self._said(error)
        if status == 429:
            return self._read_429(error, code, text)
        if status in (401, 403):
            return self._read_denied(status, code, text, creating=creating)
        if status == 404:
            fix = "check the base URL and the id; a model must exist at this account"
            return Verdict(
                advice=Advice.NEVER, code="not_found", message=f"{self.host} knows no such thing: {text}", fix=fix
            )
        if status == 409 or status == 408 or status >= 500:
            return self._read_doubtful(status, text, creating=creating)
        said = f"{self.host} refused the request ({status}): {text}"
        return Verdict(
            advice=Advice.NEVER, code=code or "bad_request", message=said, fix="change what it complains about"
        )

    def _read_429(self, error: openai.APIStatusError, code: str, text: str) -> Verdict:
        kinds = {code, str(error.type or "")}
        if kinds & _NO_MONEY:
            fix = "add credit or raise the budget of the account; waiting does not help"
            message = f"the account at {self.host} has no quota left: {text}"
            return Verdict(advice=Advice.NEVER, code="insufficient_quota", message=message, fix=fix)
        after_s = read_headers(error.response.headers).retry_after_s
        message = f"{self.host} asks for fewer requests: {text}"
        return Verdict(advice=Advice.RETRY_AT, code="rate_limited", message=message, after_s=after_s)

    def _read_denied(self, status: int, code: str, text: str, *, creating: bool) -> Verdict:
        if status == 401:
            fix = "set BROKER_OPENAI_API_KEY (or OPENAI_API_KEY) to a valid key of this account"
            return Verdict(
                advice=Advice.NEVER, code="unauthorized", message=f"{self.host} does not know the key: {text}", fix=fix
            )
        about_tuning = creating or "tuning" in text.lower() or "tuning" in code.lower()
        if not about_tuning:
            fix = "check the permissions of the key, the organization and the project"
            return Verdict(
                advice=Advice.NEVER, code="forbidden", message=f"{self.host} does not allow it: {text}", fix=fix
            )
        said = f" OpenAI announced: {self.closed}." if self.closed else ""
        message = f"this organisation may not create fine-tuning jobs at {self.host}: {text}.{said}"
        fix = (
            "train on your own machine with --provider local, or point base_url at another service that speaks this "
            "protocol (Azure OpenAI, Nebius, or `broker serve`)"
        )
        return Verdict(advice=Advice.NEVER, code="tuning_closed", message=message.replace("..", "."), fix=fix)

    def _read_doubtful(self, status: int, text: str, *, creating: bool) -> Verdict:
        code = "conflict" if status == 409 else "unavailable"
        what = "is busy with a conflicting request" if status == 409 else "failed"
        advice = Advice.UNKNOWN if creating else Advice.RETRY
        return Verdict(advice=advice, code=code, message=f"{self.host} {what} ({status}): {text}")

    def _read_silence(self, error: BaseException, *, creating: bool) -> Verdict:
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, _NOT_SENT):
            message = f"{self.host} cannot be reached: {self._words(cause)}"
            return Verdict(
                advice=Advice.RETRY, code="unreachable", message=message, fix="check the base URL and the network"
            )
        advice = Advice.UNKNOWN if creating or not _is_silence(error) else Advice.RETRY
        code = "no_answer" if _is_silence(error) else "unexpected"
        return Verdict(advice=advice, code=code, message=f"no usable answer from {self.host}: {self._words(cause)}")

    def _words(self, error: BaseException | None) -> str:
        return self.censor(f"{type(error).__name__}: {error}".rstrip(": "))[:_LONGEST_TEXT]

    def _said(self, error: openai.APIStatusError) -> tuple[str, str]:
        """Return the server's own code and text, from OpenAI's error object or from whatever it sent instead."""
        body = error.body
        if isinstance(body, Mapping):
            fields = cast("Mapping[str, Any]", body)
            text = fields.get("message") or fields.get("detail") or json.dumps(dict(fields), default=str)
            return str(fields.get("code") or ""), self.censor(str(text))[:_LONGEST_TEXT]
        return "", self.censor(str(body or error.response.reason_phrase))[:_LONGEST_TEXT]


def judge(error: BaseException) -> Judgement:
    """Tell the gateway what an exception of a repeatable call means for its limits."""
    if isinstance(error, openai.APIStatusError):
        seen = read_headers(error.response.headers)
        if error.status_code == 429:
            no_money = {str(error.code), str(error.type)} & _NO_MONEY
            return Judgement(fate=Fate.FINAL if no_money else Fate.LIMITED, seen=seen)
        if error.status_code in _OVERLOADED:
            return Judgement(fate=Fate.OVERLOADED, seen=seen)
        return Judgement(fate=Fate.RETRY if error.status_code in (408, 409) else Fate.FINAL, seen=seen)
    return Judgement(fate=Fate.RETRY if _is_silence(error) else Fate.FINAL)


def _is_silence(error: BaseException) -> bool:
    silent = (openai.APIConnectionError, httpx2.HTTPError, TimeoutError, MalformedAnswerError, json.JSONDecodeError)
    return isinstance(error, silent)
