"""What an answer ended with: never silently no good, whatever Gemini sends, and counted all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.genai import types

from broker.providers.gemini import endings
from broker.providers.gemini.answers import Readings
from broker.providers.prices import AnswerPrices
from tests.fakes.gemini_server import Rule
from tests.unit.gemini.conftest import CATALOG

if TYPE_CHECKING:
    from tests.unit.gemini.conftest import OpenDesk

SCHEMA = {"type": "object", "properties": {"question": {"type": "string"}, "answer": {"type": "string"}}}
PRICES = AnswerPrices(catalog=CATALOG, kind="gemini", host="here", paid=True)
READINGS = Readings(model="gemini-3.5-flash-lite", prices=PRICES)


# --- the tables know every word of the SDK ------------------------------------------------------------------------


def test_every_finish_reason_of_the_sdk_has_an_ending() -> None:
    assert {reason.value for reason in types.FinishReason} == set(endings.ENDINGS)
    assert {raw: word for raw, word in endings.ENDINGS.items() if word in {"stop", "length"}} == {
        "STOP": "stop",
        "MAX_TOKENS": "length",
    }


def test_every_block_reason_of_the_sdk_is_explained() -> None:
    # The wire spells the first one in another way.
    assert {reason.value for reason in types.BlockedReason} | {"BLOCK_REASON_UNSPECIFIED"} == set(endings.BLOCKS)


def test_every_batch_state_of_the_sdk_is_known() -> None:
    assert {state.value for state in types.JobState} == set(endings.BATCH_ENDS)
    ended = {name for name, over in endings.BATCH_ENDS.items() if over}
    # The SDK's own set holds states of other things too, and forgets the last one.
    told = {name for name in types.JOB_STATES_ENDED if name.startswith("JOB_STATE_")}
    assert ended == told | {"JOB_STATE_PARTIALLY_SUCCEEDED"}


@pytest.mark.parametrize("reason", [reason.value for reason in types.FinishReason])
def test_only_stop_and_length_are_answers(reason: str) -> None:
    candidate = {"content": {"parts": [{"text": "some text"}]}, "finishReason": reason}
    answer = READINGS.answer("1", {"candidates": [candidate]})
    assert answer.text == "some text"
    assert (answer.failure is None) == (answer.finish_reason in {"stop", "length"})
    assert (answer.failure is None) == (reason in {"STOP", "MAX_TOKENS"})
    if answer.failure:
        assert answer.failure.startswith(f"{answer.finish_reason}: {reason}")


# --- over the wire ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "options", "reason", "said"),
    [
        ("safety", {"category": "HARASSMENT"}, "safety", "HARM_CATEGORY_HARASSMENT HIGH"),
        ("recitation", {}, "recitation", "https://example.com/poem"),
        ("blocked", {}, "blocked", "the prompt was blocked (PROHIBITED_CONTENT"),
        ("blocked", {"block_reason": "SAFETY"}, "blocked", "HARM_CATEGORY_HATE_SPEECH"),
        ("blocked", {"block_reason": "TOMORROWS_REASON"}, "blocked", "TOMORROWS_REASON"),
        ("no_candidates", {}, "no_candidates", "no candidates came"),
        ("empty", {}, "stop", "empty: Gemini ended with STOP and no text"),
        ("empty", {"reason": "MAX_TOKENS"}, "length", "empty: "),
        ("no_content", {}, "stop", "empty: "),
        ("malformed", {}, "malformed", "MALFORMED_RESPONSE"),
        ("repetition", {}, "repetition", "repeats"),
        ("looping", {"loop": "la la "}, "repetition", "'la "),
        ("looping", {"loop": "\\n"}, "repetition", "repeats"),
        ("finish", {"message": "who knows"}, "a_reason_of_tomorrow", "A_REASON_OF_TOMORROW (a finish reason unknown"),
        ("finish", {"reason": "LANGUAGE", "message": "Klingon"}, "language", "Klingon"),
        ("finish", {"reason": "LENGTH"}, "length", "a finish reason unknown here"),
        ("finish", {"reason": "ENDLESS_REPETITION"}, "repetition", "ENDLESS_REPETITION"),
        ("no_reason", {}, "finish_reason_unspecified", "without a finish reason"),
    ],
)
async def test_an_answer_that_is_no_good_says_why_and_costs(
    open_desk: OpenDesk, fault: str, options: dict[str, Any], reason: str, said: str
) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule(fault, options=options)]
        answer = await desk.one("a question")
        assert (answer.finish_reason, said in (answer.failure or "")) == (reason, True), answer.failure
        assert answer.input_tokens == 3
        assert answer.cost_usd >= 3 * 0.3 / 1e6
        assert len(desk.server.state.paid) == 1


@pytest.mark.anyio
async def test_half_a_json_is_kept_and_says_that_it_is_half(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule("max_tokens")]
        answer = await desk.one("q", schema=SCHEMA)
    assert (answer.finish_reason, answer.failure) == ("length", None)
    assert answer.text.startswith('{"question": "')
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


@pytest.mark.anyio
async def test_thoughts_are_billed_and_not_said(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule("thoughts", options={"tokens": 100})]
        answer = await desk.one("q")
    assert answer.text == "answer to q"
    assert answer.output_tokens == 3 + 100
    assert answer.cost_usd == pytest.approx((1 * 0.3 + 103 * 2.5) / 1e6)


@pytest.mark.anyio
async def test_fields_of_tomorrow_do_no_harm(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule("unknown_fields")]
        assert (await desk.one("q")).text == "answer to q"


# --- pure ---------------------------------------------------------------------------------------------------------


def test_cached_tokens_have_their_price() -> None:
    readings = Readings(model="gemini-2.0-flash-001", prices=PRICES)
    usage = {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 10}
    candidate = {"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}
    answer = readings.answer("1", {"candidates": [candidate], "usageMetadata": usage})
    assert answer.cost_usd == pytest.approx((40 * 0.1 + 60 * 0.025 + 10 * 0.4) / 1e6)


def test_tokens_that_all_went_into_thinking_are_told_as_such() -> None:
    usage = {"promptTokenCount": 5, "thoughtsTokenCount": 256}
    answer = READINGS.answer("1", {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": usage})
    assert answer.finish_reason == "length"
    assert answer.output_tokens == 256
    assert (answer.failure or "").startswith("empty: all 256 tokens went into thinking")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"candidates": None},
        {"candidates": {}},
        {"candidates": [None]},
        {"candidates": ["x"], "usageMetadata": []},
        {"candidates": [{"content": [], "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [None, 3, {"text": None}]}, "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "SAFETY", "safetyRatings": [None, {"category": 3, "blocked": True}]}]},
        {"candidates": [{"finishReason": "RECITATION", "citationMetadata": {"citationSources": [{}, None]}}]},
        {"promptFeedback": "x", "usageMetadata": {"promptTokenCount": "many", "candidatesTokenCount": -3}},
    ],
)
def test_odd_shapes_are_failures_and_no_crash(odd: dict[str, Any]) -> None:
    answer = READINGS.answer("1", odd)
    assert answer.failure
    assert (answer.input_tokens, answer.output_tokens) == (0, 0)
