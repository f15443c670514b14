"""Signatures: the same findings as plain comparison, kept whole, quick for many sets."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.jobs.datasets.signatures import Question, Signature, sign

WORDS = st.sampled_from(["sky", "blue", "why", "is", "the", "bee", "honey", "日本", "a", "\U0001f41d", "it's"])
PROMPTS = st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=14)


def trigrams(key: str) -> set[str]:
    padded = f" {key} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def plain(train: list[str], asked: list[str], threshold: float) -> dict[int, tuple[int, float, bool]]:
    """Compare every pair, as one would by hand."""
    known, found = list(dict.fromkeys(train)), dict[int, tuple[int, float, bool]]()
    for place, key in enumerate(dict.fromkeys(asked)):
        if key in known:
            found[place] = (known.index(key), 1.0, True)
            continue
        sets = [(trigrams(key), trigrams(other)) for other in known]
        likeness = [len(a & b) / len(a | b) if a | b else 0.0 for a, b in sets]
        best = max(likeness, default=0.0)
        if best >= threshold - 1e-12:
            found[place] = (likeness.index(best), best, False)
    return found


@settings(max_examples=150, deadline=None)
@given(PROMPTS, PROMPTS, st.sampled_from([0.2, 0.5, 0.8, 0.9, 1.0]))
def test_as_plain_comparison_of_every_pair(train: list[str], asked: list[str], threshold: float) -> None:
    question = Question(sign((key, 0) for key in asked), threshold)
    found = question.answer(sign((key, 0) for key in train))
    told = {one.asked: (one.number, round(one.similarity, 12), one.exact) for one in found}
    assert told == {
        asked: (n, round(how, 12), same) for asked, (n, how, same) in plain(train, asked, threshold).items()
    }


@settings(max_examples=30, deadline=None)
@given(PROMPTS)
def test_kept_whole(keys: list[str]) -> None:
    signature = sign((key, number) for number, key in enumerate(keys))
    again = Signature.from_bytes(signature.to_bytes())
    assert again.keys == signature.keys
    for name in ("lines", "starts", "table", "places"):
        assert (getattr(again, name) == getattr(signature, name)).all()


def test_a_lone_surrogate_is_text_too() -> None:
    signature = sign([("why \ud800?", 1)])
    assert Question(signature, 0.9).answer(signature)[0].exact


@pytest.mark.parametrize("data", [b"", b"PK", b"nothing", sign([("a", 1)]).to_bytes()[:-9]])
def test_a_torn_file_is_no_signature(data: bytes) -> None:
    with pytest.raises(ValueError, match="no signature"):
        Signature.from_bytes(data)


def test_the_first_line_of_a_repeated_prompt() -> None:
    signature = sign([("a b", 7), ("c", 8), ("a b", 9)])
    assert signature.lines.tolist() == [7, 8]


def test_a_thousand_prompts_by_ten_thousand_rows_take_tenths_of_a_second() -> None:
    question = Question(
        sign((f"what is the {n}th number that nobody named {n * 7919 % 1000}", n) for n in range(1000)), 0.9
    )
    train = sign((f"why would person {n} ever go {n * 104729 % 9973} miles for a {n % 97}", n) for n in range(10_000))
    began = time.process_time()
    question.answer(train)
    assert time.process_time() - began < 1.5
