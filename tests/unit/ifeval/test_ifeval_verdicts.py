"""Strict and loose, the reading of rows, and all published prompts where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import DataError
from broker.evaluation.ifeval import CHECKERS, Instruction, judge, read_instructions, variants

PROMPTS = Path(os.environ.get("BROKER_TEST_DATA", "")) / "data" / "ifeval_prompts.jsonl"
needs_prompts = pytest.mark.skipif(
    not PROMPTS.is_file(), reason="BROKER_TEST_DATA names no folder with data/ifeval_prompts.jsonl"
)
EVERY: dict[str, dict[str, Any]] = {
    "change_case:capital_word_frequency": {"capital_frequency": 2, "capital_relation": "at least"},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Say a"},
    "combination:two_responses": {},
    "detectable_content:number_placeholders": {"num_placeholders": 1},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:constrained_response": {},
    "detectable_format:json_format": {},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 1},
    "detectable_format:number_bullet_lists": {"num_bullets": 1},
    "detectable_format:number_highlighted_sections": {"num_highlights": 1},
    "detectable_format:title": {},
    "keywords:existence": {"keywords": ["a"]},
    "keywords:forbidden_words": {"forbidden_words": ["a"]},
    "keywords:frequency": {"keyword": "a", "frequency": 2, "relation": "less than"},
    "keywords:letter_frequency": {"letter": "a", "let_frequency": 2, "let_relation": "less than"},
    "language:response_language": {"language": "en"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "a"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_sentences": {"num_sentences": 2, "relation": "less than"},
    "length_constraints:number_words": {"num_words": 3, "relation": "less than"},
    "punctuation:no_comma": {},
    "startend:end_checker": {"end_phrase": "a."},
    "startend:quotation": {},
}
FRAGMENTS = (
    '*', '**', '***', '******', '\n', '\n\n', ' ', ',', '.', '"', "'", '- a', '* a', 'a', 'A', 'Say a', 'a.', '[a]',
    'P.S.', '<<a>>', '{"a": 1}', '```json', '```', 'Section 1', 'My answer is yes.', 'Hello!', 'ß', '日本', '🙂', '“',
)  # fmt: skip


def row(ids: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"instruction_id_list": list(ids), "kwargs": list(ids.values())}


ALL = read_instructions(row(EVERY))
NO_COMMA = Instruction("punctuation:no_comma")
QUOTED = Instruction("startend:quotation")


def test_the_eight_variants() -> None:
    assert variants("Sure, *here*:\n  A *b*.\nBye.") == (
        "Sure, *here*:\n  A *b*.\nBye.",
        "A *b*.\nBye.",
        "Sure, *here*:\n  A *b*.",
        "A *b*.",
        "Sure, here:\n  A b.\nBye.",
        "A b.\nBye.",
        "Sure, here:\n  A b.",
        "A b.",
    )
    assert variants("one line") == ("one line", "", "", "", "one line", "", "", "")


@pytest.mark.parametrize(
    ("response", "strict", "loose"),
    [
        ("No commas here.", True, True),
        ("Sure, here you are.\nNo commas.", False, True),  # without the first line
        ("No commas.\nBye, then.", False, True),  # without the last
        ("Sure, here.\nNo commas.\nBye, then.", False, True),  # without both
        ("Sure, here.\nA comma, there.\nBye, then.", False, False),
        ("A comma, alone.", False, False),  # what is left without the line is empty
    ],
)
def test_loose_forgives_the_lines_around_an_answer(response: str, strict: bool, loose: bool) -> None:
    verdict = judge(response, (NO_COMMA,))
    assert (verdict.strict, verdict.loose) == ((strict,), (loose,))


def test_loose_forgives_asterisks() -> None:
    verdict = judge('**"Quoted."**', (QUOTED,))
    assert (verdict.strict, verdict.loose) == ((False,), (True,))


def test_each_instruction_may_be_followed_by_another_variant() -> None:
    verdict = judge('"Quoted, so."\nNo comma', (NO_COMMA, QUOTED))
    assert (verdict.strict, verdict.loose) == ((False, False), (True, True))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_loose_is_never_below_strict(response: str) -> None:
    verdict = judge(response, ALL)
    assert all(loose >= strict for strict, loose in zip(verdict.strict, verdict.loose, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80))
def test_no_text_breaks_a_checker(response: str) -> None:
    assert len(judge(response, ALL).strict) == len(CHECKERS)


def test_nulls_are_absent_and_whole_numbers_of_tables_are_whole() -> None:
    given_: dict[str, Any] = {"num_words": 300.0, "relation": "at least", "keywords": None, "letter": None}
    (read,) = read_instructions(row({"length_constraints:number_words": given_}))
    assert dict(read.arguments) == {"num_words": 300, "relation": "at least"}
    (bare,) = read_instructions({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [None]})
    assert bare == NO_COMMA


WORDS = "length_constraints:number_words"


@pytest.mark.parametrize(
    ("given_", "what"),
    [
        ({}, "instruction_id_list: missing"),
        ({"instruction_id_list": [], "kwargs": []}, "instruction_id_list: missing"),
        ({"instruction_id_list": "punctuation:no_comma", "kwargs": [{}]}, "instruction_id_list: missing"),
        ({"instruction_id_list": ["punctuation:no_comma"]}, "kwargs: not a list of 1"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}, {}]}, "kwargs: not a list of 1"),
        (row({"punctuation:no_commas": {}}), "no instruction is called 'punctuation:no_commas' .*did you mean"),
        (row({"poetry:rhyme": {}}), "no instruction is called 'poetry:rhyme'"),
        ({"instruction_id_list": [7], "kwargs": [{}]}, "no instruction is called 7"),
        ({"instruction_id_list": [WORDS], "kwargs": ["300"]}, "'300' is no object"),
        (row({WORDS: {"num_words": 3}}), "relation is missing"),
        (row({WORDS: {"num_words": None, "relation": "at least"}}), "num_words is missing"),
        (row({WORDS: {"num_words": 3, "relation": "at most"}}), 'relation is .at most. .*"less than" or "at least"'),
        (row({WORDS: {"num_words": -1, "relation": "at least"}}), "num_words is -1"),
        (row({WORDS: {"num_words": 2.5, "relation": "at least"}}), "num_words is 2.5"),
        (row({WORDS: {"num_words": True, "relation": "at least"}}), "num_words is True"),
        (row({WORDS: {"num_words": 3, "relation": "at least", "words": 3}}), "unknown argument 'words'"),
        (row({"keywords:existence": {"keywords": []}}), r"keywords is \(\)"),
        (row({"keywords:existence": {"keywords": "rain"}}), "keywords is 'rain'"),
        (row({"keywords:letter_frequency": {**EVERY["keywords:letter_frequency"], "letter": "ab"}}), "letter is 'ab'"),
        (
            row({"length_constraints:nth_paragraph_first_word": {"num_paragraphs": 1, "nth_paragraph": 0}}),
            "nth_paragraph is 0",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused_with_the_place(given_: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_instructions(given_)


def test_a_row_tells_all_its_problems_at_once() -> None:
    with pytest.raises(DataError) as caught:
        read_instructions(row({"poetry:rhyme": {}, WORDS: {"num_words": "many"}}))
    assert [problem.where for problem in caught.value.problems] == ["instruction_id_list", *[f"kwargs of {WORDS}"] * 2]


def test_a_keyword_that_is_no_regular_expression_is_refused_not_failed() -> None:
    (instruction,) = read_instructions(row({"keywords:existence": {"keywords": ["(rain"]}}))
    with pytest.raises(DataError, match="no regular expression"):
        judge("It rains.", (instruction,))


@needs_prompts
def test_all_published_prompts_can_be_checked() -> None:
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    instructions = [read_instructions(one) for one in rows]
    assert len(rows) == 541
    assert sum(map(len, instructions)) == 834
    assert {one.id for each in instructions for one in each} == set(CHECKERS)
    verdicts = [judge(one["prompt"], each) for one, each in zip(rows, instructions, strict=True)]
    assert all(judge("", each).loose == (False,) * len(each) for each in instructions)
    # A request repeated word for word is what one of the instructions asks for, and nothing more.
    repeated = [
        strict
        for verdict, each in zip(verdicts, instructions, strict=True)
        for strict, one in zip(verdict.strict, each, strict=True)
        if one.id == "combination:repeat_prompt"
    ]
    assert len(repeated) == 41
    assert sum(repeated) > 20
