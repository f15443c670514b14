from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from broker.evaluation.letters import compact_letters


def test_ties_are_not_transitive() -> None:
    assert compact_letters(["A", "B", "C"], [("A", "C")]) == {"A": "a", "B": "ab", "C": "b"}


def test_all_tied() -> None:
    assert compact_letters(["A", "B", "C"], []) == {"A": "a", "B": "a", "C": "a"}


def test_all_different() -> None:
    assert compact_letters(["A", "B", "C"], combinations("ABC", 2)) == {"A": "a", "B": "b", "C": "c"}


def test_nothing_and_one() -> None:
    assert compact_letters([], []) == {}
    assert compact_letters(["A"], []) == {"A": "a"}


def test_no_letter_that_says_nothing_new() -> None:
    # Inserting these five pairs makes six columns; five say it all.
    pairs = {("1", "7"), ("1", "8"), ("2", "4"), ("2", "5"), ("3", "5")}
    letters = compact_letters("12345678", sorted(pairs))
    assert_exact(list("12345678"), pairs, letters)
    assert len(set("".join(letters.values()))) <= 5


def test_more_than_26_letters() -> None:
    names = [f"m{i:02}" for i in range(30)]
    letters = compact_letters(names, combinations(names, 2))
    assert letters["m00"] == "a"
    assert letters["m26"] == "aa"
    assert len(set(letters.values())) == 30


def assert_exact(names: list[str], different: set[tuple[str, str]], letters: dict[str, str]) -> None:
    for left, right in combinations(names, 2):
        told_apart = (left, right) in different or (right, left) in different
        assert bool(set(letters[left]) & set(letters[right])) is not told_apart, (left, right, letters)


@given(st.lists(st.booleans(), min_size=21, max_size=21))
def test_a_letter_is_shared_exactly_by_those_not_told_apart(apart: list[bool]) -> None:
    names = list("ABCDEFG")
    different = {pair for pair, flag in zip(combinations(names, 2), apart, strict=True) if flag}
    letters = compact_letters(names, different)
    assert_exact(names, different, letters)
    assert letters["A"].startswith("a")
