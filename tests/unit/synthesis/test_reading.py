"""What each kind of answer is worth: used, asked for again, or the end of its row; never passed on silently."""

from __future__ import annotations

from typing import Any

import pytest

from broker.providers.contract import Answer
from broker.synthesis.pipelines.qa import QUESTION
from broker.synthesis.reading import read_answer

GOOD = '{"question": "Why?", "answer": "So."}'
VALUE = {"question": "Why?", "answer": "So."}


@pytest.mark.parametrize(
    "text",
    [GOOD, f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```\n", f"Here it is: {GOOD}. Enjoy!"],
)
def test_json_is_read_also_where_its_wrapping_is_wrong(text: str) -> None:
    found = read_answer(Answer(id="1", text=text), QUESTION)
    assert (found.value, found.reason) == (VALUE, "")


def test_whole_json_counts_although_the_tokens_were_used_up() -> None:
    assert read_answer(Answer(id="1", text=GOOD, finish_reason="length"), QUESTION).value == VALUE


def test_a_text_is_taken_without_white_space_around_it() -> None:
    assert read_answer(Answer(id="1", text="  It is so.\n"), None).value == "It is so."


@pytest.mark.parametrize(
    ("answer", "reason", "again"),
    [
        ({"finish_reason": "safety", "failure": "SAFETY: harm", "text": GOOD}, "safety", False),
        ({"finish_reason": "safety", "text": GOOD}, "safety", False),
        ({"finish_reason": "blocked", "failure": "no candidates"}, "blocked", False),
        ({"finish_reason": "prohibited_content", "failure": "x"}, "prohibited_content", False),
        ({"finish_reason": "content_filter", "text": GOOD}, "content_filter", False),
        ({"finish_reason": "refusal", "text": "I cannot help with that."}, "refusal", False),
        ({"finish_reason": "recitation", "failure": "RECITATION", "text": GOOD}, "recitation", True),
        ({"finish_reason": "repetition", "failure": "x x x", "text": "x x x"}, "repetition", True),
        ({"finish_reason": "a_reason_of_tomorrow", "failure": "unknown here", "text": GOOD},
         "a_reason_of_tomorrow", True),
        ({"finish_reason": "error", "failure": "503"}, "error", True),
        ({"finish_reason": "stop", "failure": "empty: no text"}, "empty", True),
        ({"finish_reason": "stop", "failure": "the model is not there"}, "error", True),
        ({"finish_reason": "length", "failure": "empty: thinking used up all tokens"}, "length", True),
        ({"text": " \n"}, "empty", True),
        ({"text": GOOD[:20], "finish_reason": "length"}, "length", True),
        ({"text": "no JSON at all"}, "malformed", True),
        ({"text": '{"question": "Why?"}'}, "malformed", True),
        ({"text": '{"question": "Why?", "answer": "  "}'}, "malformed", True),
        ({"text": '{"question": "Why?", "answer": 3}'}, "malformed", True),
        ({"text": '["Why?"]'}, "malformed", True),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(answer: dict[str, Any], reason: str, again: bool) -> None:
    found = read_answer(Answer(id="1", **answer), QUESTION)
    assert (found.value, found.reason, found.again) == (None, reason, again)
    assert found.detail


def test_a_text_without_an_end_is_no_text() -> None:
    found = read_answer(Answer(id="1", text="It is", finish_reason="length"), None)
    assert (found.value, found.reason, found.again) == (None, "length", True)
