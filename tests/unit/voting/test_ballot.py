from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.providers.contract import Answer
from broker.voting import make_ballot, presented
from tests.unit.voting.poll import PAIR, answers, ballot, questions


@given(st.integers(1, 60), st.integers(0, 50), st.text(min_size=1, max_size=8))
def test_sides_are_balanced_wherever_a_voter_stops(count: int, number: int, secret: str) -> None:
    shown = presented(ballot(count), secret, number)
    sides = [1 if one.left_first else -1 for one in shown]
    assert abs(sum(sides)) == count % 2
    assert all(abs(sum(sides[:stop])) <= 2 for stop in range(count))
    assert Counter(one.row.id for one in shown) == Counter(row.id for row in ballot(count).rows)


@given(st.integers(1, 40), st.integers(0, 20))
def test_two_voters_in_a_row_see_every_prompt_from_both_sides(count: int, couple: int) -> None:
    one, other = (presented(ballot(count), "secret", 2 * couple + i) for i in (0, 1))
    assert [shown.row.id for shown in one] == [shown.row.id for shown in other]
    assert all(first.left_first is not second.left_first for first, second in zip(one, other, strict=True))


def test_what_the_page_calls_a_prompt_tells_nothing_and_is_a_voters_own() -> None:
    made = ballot(30)
    ids = [shown.id for number in range(4) for shown in presented(made, "secret", number)]
    assert len(set(ids)) == 120
    assert presented(made, "secret", 3) == presented(made, "secret", 3)
    assert [one.row.id for one in presented(made, "secret", 0)] != [one.row.id for one in presented(made, "secret", 2)]
    assert [one.left_first for one in presented(made, "secret", 0)] != [
        one.left_first for one in presented(made, "another", 0)
    ]


def test_answer_one_is_the_left_models_when_it_stands_first() -> None:
    for shown in presented(ballot(8), "secret", 0):
        assert [text.split()[0] for text in shown.answers] == (
            ["warm", "cool"] if shown.left_first else ["cool", "warm"]
        )


@given(st.integers(0, 25), st.integers(0, 25), st.integers(0, 1000))
def test_fewer_prompts_are_the_first_of_more(few: int, more: int, seed: int) -> None:
    few, more = sorted((few, more))
    small, large = ballot(20, prompts=few, seed=seed), ballot(20, prompts=more, seed=seed)
    assert small.rows == large.rows[: min(few, 20)]
    assert small.every == large.every


def test_the_seed_chooses_the_sample() -> None:
    assert ballot(30, prompts=10).rows == ballot(30, prompts=10).rows
    assert ballot(30, prompts=10, seed=1).rows != ballot(30, prompts=10, seed=2).rows


def test_what_cannot_be_judged_is_left_out_and_counted() -> None:
    left, right = answers(8, "warm"), answers(8, "cool")
    left["0"] = Answer(id="0", failure="timeout")
    right["1"] = Answer(id="1", text=" \n")
    right["2"] = Answer(id="2", text="warm  answer 2.\n")
    left["3"] = Answer(id="3", text="I am otto-8b, at your service.")
    left["4"], right["4"] = (Answer(id="4", text=f"Otto-8B, he said {word}.") for word in ("so", "thus"))
    left["5"] = Answer(id="5", text="My name is Otto-8Bee.")
    del right["6"]
    made = make_ballot(PAIR, questions(8), left, right, names=["Frida-7B", "Otto-8B", "abc"])
    assert made.left_out == {
        "a model gave no answer": 2,
        "an answer is empty": 1,
        "both answers are the same": 1,
        "one answer names a model": 1,
    }
    assert sorted(row.id for row in made.rows) == ["4", "5", "7"]


def test_a_name_that_is_asked_about_is_no_hint() -> None:
    asked = [
        replace(question, turns=(replace(question.turns[0], text="Who is Otto-8B?"),)) for question in questions(1)
    ]
    left, right = {"0": Answer(id="0", text="Otto-8B is a robot.")}, answers(1, "cool")
    assert make_ballot(PAIR, asked, left, right, names=["Otto-8B"]).left_out == {}


@pytest.mark.parametrize("part", ["left", "right", "question"])
def test_the_mark_is_of_all_that_is_judged(part: str) -> None:
    (row,) = ballot(1).rows
    new: dict[str, Any] = {part: questions(2)[1] if part == "question" else "something else"}
    changed = replace(row, **new)
    assert changed.mark != row.mark
    assert replace(row, left=row.right, right=row.left).mark == row.mark
