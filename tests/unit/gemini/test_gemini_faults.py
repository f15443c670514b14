"""What exceptions mean: the table in `faults.py`, row by row, with bodies as Google sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import pytest
from google.genai import errors

from broker.errors import OutcomeUnknownError, RateLimitedError, RefusedError, UnavailableError
from broker.gateway import Fate
from broker.providers.contract import Advice
from broker.providers.foreign_json import MalformedAnswerError
from broker.providers.gemini.faults import FOREIGN, Reader, judge
from broker.providers.secrecy import Censor
from tests.fakes.gemini_server.errors import exhausted, named

if TYPE_CHECKING:
    from collections.abc import Callable

READER = Reader(censor=Censor(["secret-key"]), host="here", instead=lambda _model: ("a-living-model",))
MODEL = "models/gemini-3.5-flash-lite"


def raised(code: int, body: dict[str, Any]) -> errors.APIError:
    with pytest.raises(errors.APIError) as caught:
        errors.APIError.raise_error(code, body, None)
    return caught.value


def fault(name: str, **options: Any) -> errors.APIError:
    refusal = named(name, MODEL, options)
    return raised(refusal.code, refusal.body)


def odd(code: int, status: str) -> errors.APIError:
    return raised(code, {"error": {"code": code, "status": status}})


@pytest.mark.parametrize(
    ("error", "code", "advice", "creating", "fate"),
    [
        (fault("400"), "invalid_argument", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("400_key"), "unauthorized", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("400_location"), "forbidden", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("401"), "unauthorized", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("403"), "forbidden", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("404"), "not_found", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("429"), "rate_limited", Advice.RETRY_AT, Advice.RETRY_AT, Fate.LIMITED),
        (fault("429_plain"), "rate_limited", Advice.RETRY_AT, Advice.RETRY_AT, Fate.LIMITED),
        (fault("429_day"), "quota_exhausted", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("429", limit=0), "quota_exhausted", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (fault("500"), "unavailable", Advice.RETRY, Advice.UNKNOWN, Fate.OVERLOADED),
        (fault("503"), "unavailable", Advice.RETRY, Advice.UNKNOWN, Fate.OVERLOADED),
        (odd(499, "CANCELLED"), "unavailable", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (odd(409, "ABORTED"), "unavailable", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (odd(409, "ALREADY_EXISTS"), "already_exists", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (raised(418, {"message": "short and stout"}), "bad_request", Advice.NEVER, Advice.NEVER, Fate.FINAL),
        (httpx2.ConnectError("no"), "unreachable", Advice.RETRY, Advice.RETRY, Fate.RETRY),
        (httpx2.ReadError("cut"), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (aiohttp.ServerDisconnectedError(), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (aiohttp.ClientPayloadError("half"), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (TimeoutError(), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (MalformedAnswerError("html"), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
        (errors.UnknownApiResponseError("x"), "no_answer", Advice.RETRY, Advice.UNKNOWN, Fate.RETRY),
    ],
)  # fmt: skip
def test_the_table(error: Exception, code: str, advice: Advice, creating: Advice, fate: Fate) -> None:
    verdict = READER.read(error)
    assert (verdict.code, verdict.advice) == (code, advice)
    assert READER.read(error, creating=True).advice is creating
    assert judge(error).fate is fate
    assert isinstance(error, FOREIGN)
    assert verdict.message.startswith(("here", "no usable answer from here"))
    assert verdict.fix or verdict.advice is not Advice.NEVER


@pytest.mark.parametrize(
    ("retry_s", "headers", "after_s"),
    [(3.5, {}, 3.5), (39.0, {"Retry-After": "7"}, 39.0), (None, {"Retry-After": "7"}, 7.0), (None, {}, None)],
)
def test_the_time_to_come_back(retry_s: float | None, headers: dict[str, str], after_s: float | None) -> None:
    refusal = exhausted(MODEL, retry_s=retry_s)
    error = errors.ClientError(429, refusal.body, httpx2.Response(429, headers=headers))
    assert READER.read(error).after_s == after_s
    assert judge(error).seen.retry_after_s == after_s


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: fault("429"), RateLimitedError),
        (lambda: fault("404"), RefusedError),
        (lambda: fault("503"), UnavailableError),
    ],
)
def test_errors_of_the_broker_carry_the_verdict(make: Callable[[], Exception], kind: type[Exception]) -> None:
    error = READER.raised(make(), where="here")
    assert type(error) is kind
    assert READER.read(error).code == READER.read(make()).code


EXHAUSTED = exhausted(MODEL, retry_s=1.5).body


@pytest.mark.parametrize(
    ("body", "after_s"),
    [
        ({"error": {"code": 429, "status": "Too Many Requests", "message": json.dumps(EXHAUSTED)}}, 1.5),
        ({"error": {"code": 429, "message": json.dumps({"error": {"message": json.dumps(EXHAUSTED)}})}}, 1.5),
        ({"message": json.dumps(EXHAUSTED), "status": "Too Many Requests"}, 1.5),
        ({"error": {"code": 429, "message": "You exceeded your quota. Please retry in 34.074824224s."}}, 34.074824224),
        ({"error": {"code": 429, "message": '{"half": '}}, None),
        ({"error": None}, None),
        ({"error": "slow down"}, None),
    ],
)
def test_googles_answer_is_found_in_whatever_a_gateway_wrapped_it(body: dict[str, Any], after_s: float | None) -> None:
    error = raised(429, body)
    assert READER.read(error).after_s == after_s
    assert judge(error).seen.retry_after_s == after_s
    assert READER.read(error).code == "rate_limited"


def test_a_bad_key_is_one_in_a_wrapping_too() -> None:
    inner = named("400_key", MODEL, {}).body
    error = raised(400, {"error": {"code": 400, "status": "Bad Request", "message": json.dumps(inner)}})
    assert READER.read(error).code == "unauthorized"


@pytest.mark.parametrize("status", [204, 302])
def test_an_answer_that_is_no_refusal_leaves_a_creating_call_in_doubt(status: int) -> None:
    error = errors.APIError(status, {"message": "", "status": "No Content"})
    assert isinstance(READER.raised(error), UnavailableError)
    assert isinstance(READER.raised(error, creating=True), OutcomeUnknownError)
    assert judge(error).fate is Fate.RETRY


def test_what_may_have_arrived_is_unknown() -> None:
    assert isinstance(READER.raised(fault("500"), creating=True), OutcomeUnknownError)
    assert isinstance(READER.raised(TimeoutError(), creating=True), OutcomeUnknownError)


def test_a_model_that_is_gone_names_living_ones() -> None:
    assert READER.read(fault("404")).fix == "use a-living-model"


def test_secrets_are_cut_out() -> None:
    error = fault("400", message="the key secret-key and AIzaSy0123456789abc are bad")
    assert READER.read(error).message.endswith("the key *** and *** are bad")


def test_a_stranger_is_not_called_certain() -> None:
    verdict = READER.read(RuntimeError("strange"))
    assert (verdict.advice, verdict.code) == (Advice.UNKNOWN, "unexpected")
    assert judge(RuntimeError("strange")).fate is Fate.FINAL
