"""Which prompts are worth reading first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.results.answers import AnswerBook, worth_reading
from broker.results.document.answers import first_shown
from tests.unit.results.grids import grid, report
from tests.unit.results.lab import Lab, share


@pytest.fixture(scope="module")
def book() -> tuple[Lab, AnswerBook]:
    """Return 40 prompts: in 1 to 10 the tuned model failed by `conversational`, in 31 to 40 it changed most."""
    lab = Lab()
    lab.evaluate({"conversational": [0.0] * 30 + [0.0] * 10, "length": [5.0] * 40})
    lab.evaluate({"conversational": [0.0] * 10 + [1.0] * 30, "length": [5.0] * 40}, tuned=lab.tune())
    base, tuned = (row.key for row in lab.table().rows)
    made = report(lab.table()).answers
    prompts = []
    for prompt in made.prompts:
        i = prompt.number - 1
        scores = {base: float(i in range(10, 30)), tuned: float(i >= 10)}
        answers = {key: replace(prompt.answers[key], scores={"conversational": scores[key]}) for key in (base, tuned)}
        prompts.append(replace(prompt, answers=answers))
    return lab, AnswerBook(prompts=tuple(prompts), total=40)


def test_the_worst_and_the_most_changed_in_turn(book: tuple[Lab, AnswerBook]) -> None:
    lab, answers = book
    kept = worth_reading(lab.table(), answers, rows=6)
    assert [prompt.number for prompt in kept.prompts] == [1, 2, 3, 31, 32, 33]
    assert kept.total == 40


def test_a_book_that_fits_is_whole(book: tuple[Lab, AnswerBook]) -> None:
    lab, answers = book
    assert worth_reading(lab.table(), answers, rows=40) is answers
    assert worth_reading(lab.table(), answers, rows=0).prompts == ()


def test_a_prompt_without_an_answer_comes_first(book: tuple[Lab, AnswerBook]) -> None:
    lab, answers = book
    tuned = next(row.key for row in lab.table().rows if row.kind == "tuned")
    prompts = list(answers.prompts)
    silent = replace(prompts[20].answers[tuned], text="", failure="timed out", scores={})
    prompts[20] = replace(prompts[20], answers={**prompts[20].answers, tuned: silent})
    kept = worth_reading(lab.table(), replace(answers, prompts=tuple(prompts)), rows=1)
    assert [prompt.number for prompt in kept.prompts] == [21]


def test_long_answers_take_the_room_of_many(book: tuple[Lab, AnswerBook]) -> None:
    lab, answers = book
    room = sum(prompt.characters for prompt in answers.prompts) // 4
    kept = worth_reading(lab.table(), answers, rows=40, characters=room)
    assert 5 < len(kept.prompts) < 15
    assert sum(prompt.characters for prompt in kept.prompts) <= room


def test_without_a_better_way_they_come_as_they_are(lab: Lab) -> None:
    lab.evaluate({"length": [1.0] * 40})
    kept = worth_reading(lab.table(), report(lab.table()).answers, rows=3)
    assert [prompt.number for prompt in kept.prompts] == [1, 2, 3]


def test_the_best_stand_beside_their_base_at_first() -> None:
    table = grid().table()
    rows = list(table.rows)
    first = first_shown(table, rows)
    labels = [rows[index].label for index in first]
    assert labels[0] == "base bf16"
    values = [rows[index].cells["conversational"].value for index in first[1:]]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[0] == 35 / 40


def test_few_models_are_all_shown(lab: Lab) -> None:
    lab.evaluate({"conversational": share(3)})
    assert first_shown(lab.table(), lab.table().rows) == [0]
