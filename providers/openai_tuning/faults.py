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
from broker.providers.foreign_json import MalformedAnswerError
from broker.providers.verdicts import OVERLOADED, ErrorReader, never

if TYPE_CHECKING:
    from broker.providers.contract import Verdict

_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader(ErrorReader):
    """Reads exceptions of one account.

    Attributes:
        closed: What the service announced about tuning, for a 403 that says so.
    """

    not_sent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
    silent = (openai.APIConnectionError, httpx2.HTTPError, TimeoutError, MalformedAnswerError, json.JSONDecodeError)

    closed: str = ""

    def cause(self, error: BaseException) -> BaseException | None:
        """Return what lies behind an exception: OpenAI's SDK raises its own for one of the transport's."""
        return error.__cause__ if isinstance(error, openai.APIConnectionError) else error

    def refusal(self, error: BaseException, *, creating: bool) -> Verdict | None:
        """Read what the server answered; None when it did not answer."""
        if not isinstance(error, openai.APIStatusError):
            return None
        status, (code, text) = error.status_code, self._said(error)
        if status == 429:
            return self._read_429(error, code, text)
        if status in (401, 403):
            return self._read_denied(status, code, text, creating=creating)
        if status == 404:
            fix = "check the base URL and the id; a model must exist at this account"
            return never("not_found", f"{self.host} knows no such thing: {text}", fix)
        if status == 409:
            what = f"is busy with a conflicting request ({status})"
            return self.failed(what, text, creating=creating, code="conflict")
        if status == 408 or status >= 500:
            return self.failed(f"failed ({status})", text, creating=creating)
        said = f"{self.host} refused the request ({status}): {text}"
        return never(code or "bad_request", said, "change what it complains about")

    def _read_429(self, error: openai.APIStatusError, code: str, text: str) -> Verdict:
        kinds = {code, str(error.type or "")}
        if kinds & _NO_MONEY:
            fix = "add credit or raise the budget of the account; waiting does not help"
            message = f"the account at {self.host} has no quota left: {text}"
            return never("insufficient_quota", message, fix)
        return self.limited(text, read_headers(error.response.headers).retry_after_s)

    def _read_denied(self, status: int, code: str, text: str, *, creating: bool) -> Verdict:
        if status == 401:
            fix = "set BROKER_OPENAI_API_KEY (or OPENAI_API_KEY) to a valid key of this account"
            return never("unauthorized", f"{self.host} does not know the key: {text}", fix)
        about_tuning = creating or "tuning" in text.lower() or "tuning" in code.lower()
        if not about_tuning:
            fix = "check the permissions of the key, the organization and the project"
            return never("forbidden", f"{self.host} does not allow it: {text}", fix)
        said = f" OpenAI announced: {self.closed}." if self.closed else ""
        message = f"this organisation may not create fine-tuning jobs at {self.host}: {text}.{said}"
        fix = (
            "train on your own machine with --provider local, or point base_url at another service that speaks this "
            "protocol (Azure OpenAI, Nebius, or `broker serve`)"
        )
        return never("tuning_closed", message.replace("..", "."), fix)

    def _said(self, error: openai.APIStatusError) -> tuple[str, str]:
        """Return the server's own code and text, from OpenAI's error object or from whatever it sent instead."""
        body = error.body
        if isinstance(body, Mapping):
            fields = cast("Mapping[str, Any]", body)
            text = fields.get("message") or fields.get("detail") or json.dumps(dict(fields), default=str)
            return str(fields.get("code") or ""), self.words(str(text))
        return "", self.words(str(body or error.response.reason_phrase))


def judge(error: BaseException) -> Judgement:
    """Tell the gateway what an exception of a repeatable call means for its limits."""
    if isinstance(error, openai.APIStatusError):
        seen = read_headers(error.response.headers)
        if error.status_code == 429:
            no_money = {str(error.code), str(error.type)} & _NO_MONEY
            return Judgement(fate=Fate.FINAL if no_money else Fate.LIMITED, seen=seen)
        if error.status_code in OVERLOADED:
            return Judgement(fate=Fate.OVERLOADED, seen=seen)
        return Judgement(fate=Fate.RETRY if error.status_code in (408, 409) else Fate.FINAL, seen=seen)
    return Judgement(fate=Fate.RETRY if isinstance(error, Reader.silent) else Fate.FINAL)
