"""What a model takes decides what is sent: draws of its own, thinking by level or tokens, the last turn, schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from broker.evaluation.judging.prompts import pairwise_messages
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.contract import CompletionRequest
from broker.providers.gemini.families import LEVELS, Family
from broker.providers.gemini.questions import Questions
from broker.providers.gemini.schemas import narrowed
from broker.synthesis.pipelines.persona import CONVERSATION
from broker.synthesis.pipelines.qa import QUESTION
from tests.fakes.gemini_server.wire import check_schema
from tests.unit.gemini.conftest import questions

if TYPE_CHECKING:
    from tests.unit.gemini.conftest import OpenDesk

OWN = ("gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.8-flash", "gemini-4-pro", "models/gemini-flash-latest")
TOLD = (
    "gemini-2.0-flash-001",
    "gemini-2.5-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash",
    "gemma-4-27b",
    "gemini-robotics-er-1.5-preview",
    "gemini-exp-1206",
)


def body(model: str, **options: Any) -> dict[str, Any]:
    family = Family.of(model)
    asked = Questions(family=family, thinking=family.thinking(options))
    (request,) = questions(["q"], decoding=Decoding(temperature=0.3, top_p=0.8, seed=5))
    config: dict[str, Any] = asked.body(request)["generationConfig"]
    return config


@pytest.mark.parametrize("model", [*OWN, *TOLD])
def test_only_models_that_draw_as_they_are_told_are_told_how(model: str) -> None:
    config = body(model)
    assert config.pop("maxOutputTokens") == 256
    assert config.pop("seed") == 5
    assert config == ({} if model in OWN else {"temperature": 0.3, "topP": 0.8})
    warned = [one.severity for one in Family.of(model).problems({}, model=model, where="here")]
    assert warned == (["warning"] if model in OWN else [])


BOTH = {"thinking_budget": 0, "thinking_level": "low"}


@pytest.mark.parametrize(
    ("model", "options", "sent"),
    [
        ("gemini-2.5-flash", BOTH, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"thinking_level": "low"}, None),
        ("gemini-3.5-flash", BOTH, {"thinkingLevel": "LOW"}),
        ("gemini-3.5-flash", {"thinking_budget": 512}, {"thinkingBudget": 512}),
        ("gemini-3.5-flash-lite", BOTH, {"thinkingLevel": "LOW"}),
        ("gemini-3.5-flash-lite", {"thinking_budget": 512}, None),
        ("a-model-elsewhere", BOTH, {"thinkingLevel": "LOW"}),
        ("a-model-elsewhere", {"thinking_budget": 512}, {"thinkingBudget": 512}),
    ],
)
def test_an_account_may_set_both_and_each_model_gets_its_own(
    model: str, options: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    assert body(model, **options).get("thinkingConfig") == sent
    stopped = [one for one in Family.of(model).problems(options, model=model, where="here") if one.severity == "error"]
    assert bool(stopped) == (sent is None)


@pytest.mark.parametrize(
    ("model", "level", "fix"),
    [
        ("gemini-3.8-flash", "minimal", "low, medium, high"),
        ("gemini-3.1-pro-preview", "minimal", "low, medium, high"),
        ("gemini-3.5-flash-lite", "minimal", ""),
        ("gemini-3.8-flash", "much", "low, medium, high"),
    ],
)
def test_a_level_that_a_model_does_not_know_is_told_before_anything_is_sent(model: str, level: str, fix: str) -> None:
    problems = Family.of(model).problems({"thinking_level": level}, model=model, where="here")
    errors = [one.fix for one in problems if one.severity == "error"]
    assert errors == ([f"one of: {fix}"] if fix else [])


def test_the_levels_are_the_sdks_own() -> None:
    assert set(LEVELS) == {one.value for one in types.ThinkingLevel} - {"THINKING_LEVEL_UNSPECIFIED", "XHIGH"}


@pytest.mark.anyio
async def test_the_wire_gets_a_level_in_camel_case_and_no_turn_of_the_model_at_the_end(open_desk: OpenDesk) -> None:
    ends = CompletionRequest(
        id="ends", messages=({"role": "user", "content": "q"}, {"role": "assistant", "content": "Well,"})
    )
    async with open_desk(thinking_level="low") as desk:
        found = {}
        for name in ("gemini-3.8-flash", "gemini-3.5-flash"):
            completer = desk.provider.completer(ModelRef(provider="gemini", name=name))
            found[name] = [one async for one in completer.complete([ends])]
    assert (found["gemini-3.8-flash"][0].failure or "").startswith(
        "unaskable: the prompt ends with the model's own turn"
    )
    assert found["gemini-3.5-flash"][0].text == "answer to Well,"


WINNER = pairwise_messages([{"role": "user", "content": "q"}], "a", "b")[1]


# --- schemas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [QUESTION, CONVERSATION, WINNER])
def test_schemas_of_ours_need_no_narrowing(schema: dict[str, Any]) -> None:
    assert narrowed(schema) == schema
    check_schema(schema, schema)


def test_what_gemini_does_not_know_is_translated_or_left_out() -> None:
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "const": {"const": "a", "default": "a"},
            "pattern": {"type": "string", "pattern": "^a", "minLength": 3},
            "sure": {"enum": [True, False]},
            "old": {"$ref": "#/definitions/n", "description": "beside"},
            "all": {"allOf": [{"$ref": "#/$defs/m"}], "default": None},
            "many": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"not": {}}]}, "uniqueItems": True},
        },
        "definitions": {"n": {"type": "integer", "exclusiveMinimum": 0}},
        "$defs": {"m": {"type": "number", "multipleOf": 2}},
        "required": ["const"],
        "additionalProperties": {"type": "string", "maxLength": 3},
    }
    told = narrowed(schema)
    check_schema(told, told)
    assert told == {
        "type": "object",
        "properties": {
            "const": {"enum": ["a"]},
            "pattern": {"type": "string"},
            "sure": {},
            "old": {"$ref": "#/$defs/n"},
            "all": {"$ref": "#/$defs/m"},
            "many": {"type": "array", "items": {"anyOf": [{"type": "null"}, {}]}},
        },
        "$defs": {"n": {"type": "integer"}, "m": {"type": "number"}},
        "required": ["const"],
        "additionalProperties": {"type": "string"},
    }


WORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "integer", ["number", "null"], "boolean"]),
    "minLength": st.integers(0, 3),
    "pattern": st.just("a"),
    "const": st.sampled_from(["a", 1, True, None]),
    "enum": st.lists(st.sampled_from(["a", 1, True, None]), min_size=1),
    "minimum": st.integers(0, 3),
    "exclusiveMaximum": st.integers(5, 9),
    "title": st.text(max_size=3),
}
SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional=WORDS),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **WORDS,
            "properties": st.dictionaries(st.sampled_from(["minLength", "b"]), inner, max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "additionalProperties": st.booleans() | inner,
        },
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "a", "aaaa"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["minLength", "b"]), inner, max_size=2),
    max_leaves=4,
)


@given(schema=SCHEMAS, value=VALUES)
def test_what_a_schema_takes_its_narrowed_form_takes_too(schema: dict[str, Any], value: Any) -> None:
    told = narrowed(schema)
    check_schema(told, told)
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        assert jsonschema.Draft202012Validator(told).is_valid(value), json.dumps([schema, told, value])
