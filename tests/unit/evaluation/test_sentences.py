from __future__ import annotations

import pytest

from broker.evaluation.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["The price is 3.5 dollars.", "It fell."],
        ["The U.S. is big.", "It has 50 states."],
        ["I live in the U.S.", "It is big."],
        ["The U.S. Senate met.", "J. R. R. Tolkien wrote it."],
        ["Claiborne H. Kinnard Jr. passed away.", "His wife shut it."],
        ["So do I.", "Then we ran."],
        ["Is it No. 5?", "No.", "It is not."],
        ["He got a Ph.D. in 1990.", "She did not."],
        ["We buy eggs, milk, etc.", "Then we cook."],
        ["Eggs, milk, etc. are cheap."],
        ["It was on Jan. 5, at 5 p.m. sharp."],
        ["Come at 5 p.m.", "We start then."],
        ["**Bold start.**", "Then more."],
        ["(It works.)", "Then more."],
        ['She said, "Go home."', "He did."],
        ['He asked "why?" and left.'],
        ["ok.", "so do it."],
        ["What?!", "No way..."],
        ["Well... maybe not."],
        ["Well...", "Maybe not."],
        ["See example.com/a.b?c=1 for v1.2.3 of it."],
    ],
)
def test_a_readers_ends(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_headings_items_and_paragraphs_stand_alone() -> None:
    text = "# Plan\nWe begin\ntoday.\n\n1. Wash it\n2) Dry it\n* Wax\n  it well\n---\nThe end"
    assert split_sentences(text) == ["# Plan", "We begin today.", "Wash it", "Dry it", "Wax   it well", "The end"]


def test_a_year_at_the_start_of_a_line_is_no_item() -> None:
    assert split_sentences("It closed in\n1967. Then they left.") == ["It closed in 1967.", "Then they left."]


@pytest.mark.parametrize("text", ["", " \n ", "\U0001f600", "...", "---", "?!"])
def test_nothing_to_read_is_no_sentence(text: str) -> None:
    assert split_sentences(text) == []
