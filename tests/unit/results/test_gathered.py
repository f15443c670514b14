"""Remarks of many models make one sentence."""

from __future__ import annotations

from broker.jobs.states import State
from broker.results import as_text
from broker.results.gathered import gathered
from tests.unit.results.lab import Lab, share


def test_one_model_is_named() -> None:
    assert gathered([("A", "3 of 200 answers are empty")], 5) == ["A: 3 of 200 answers are empty"]


def test_the_same_count_is_said_once() -> None:
    said = [("A", "3 of 200 answers are empty"), ("B", "3 of 200 answers are empty")]
    assert gathered(said, 5) == ["A, B: 3 of 200 answers are empty"]


def test_few_models_keep_their_counts() -> None:
    said = [("A", "3 of 200 answers are empty"), ("B", "1 of 200 answers are empty")]
    assert gathered(said, 5) == ["A: 3, B: 1 of 200 answers are empty"]
    assert gathered([*said, ("C", "2 of 186 answers are empty")], 5) == [
        "A: 3 of 200, B: 1 of 200, C: 2 of 186 answers are empty"
    ]


def test_many_models_are_a_range_and_the_worst() -> None:
    said = [(f"m{i}", f"{i} of 200 answers are empty") for i in range(1, 18)]
    assert gathered(said, 19) == ["17 models (most: m17): 1 to 17 of 200 answers are empty"]
    assert gathered(said, 17) == ["all 17 models (most: m17): 1 to 17 of 200 answers are empty"]


def test_the_most_is_the_largest_share() -> None:
    said = [("A", "9 of 10 x"), ("B", "20 of 200 x"), ("C", "1 of 200 x"), ("D", "2 of 200 x")]
    assert gathered(said, 9) == ["4 models (most: A): 1 to 20 of 10 to 200 x"]


def test_other_words_stand_apart() -> None:
    said = [("A", "the loss is NaN"), ("B", "3 of 5 x"), ("C", "the loss is NaN"), ("D", "3 of 5 y")]
    assert gathered(said, 4) == ["A, C: the loss is NaN", "B: 3 of 5 x", "D: 3 of 5 y"]


def test_a_table_of_many_models_has_a_line_for_each_remark() -> None:
    lab = Lab()
    for i in range(12):
        values = share(i)
        lab.evaluate({"conversational": values}, label=f"m{i}", empty=i, cut=i + 1)
    text = as_text(lab.table(), 200)
    assert "! 11 models (most: m11): 1 to 11 of 40 answers are empty" in text
    assert "\nall 12 models (most: m11): 1 to 12 of 40 answers were cut at the token limit" in text


def test_answers_that_are_none_are_named() -> None:
    lab = Lab()
    lab.evaluate({"conversational": share(3)}, label="A", empty=3, endings={"tool_calls": 3, "refusal": 1})
    lab.evaluate({"conversational": share(3)}, label="B", endings={"refusal": 2})
    assert lab.table().warnings == (
        "A: 3 of 40 answers are empty",
        "A: 3 of 40 answers ended with tool_calls",
        "A: 1, B: 2 of 40 answers ended with refusal",
    )


def test_what_has_no_numbers_comes_first() -> None:
    lab = Lab()
    lab.evaluate({"conversational": share(3)}, label="A", empty=2)
    lab.evaluate({"conversational": share(3)}, label="B", failed=1, failures={"HTTP 500": 1})
    assert lab.table().warnings == (
        "B: 1 of 40 prompts have no answer (HTTP 500)",
        "A: 2 of 40 answers are empty",
    )


def test_numbers_of_prompts_that_hardly_differ_share_a_sentence() -> None:
    lab = Lab()
    for passed in (10, 30):
        scores = [1.0 if i < passed else 0.0 for i in range(40)]
        lab.evaluate({"conversational": scores, "flesch": [*[float(i * passed) for i in range(38)], None, None]})
    told = [line for line in lab.table().notes if line.startswith("With n = ")]
    assert len(told) == 1
    assert told[0].startswith("With n = 38 to 40, differences under ")


def test_a_table_without_the_numbers_that_will_come_says_so() -> None:
    lab = Lab()
    lab.evaluate({"conversational": share(3)}, label="A")
    lab.evaluate({"conversational": share(9)}, label="B")
    lab.evaluate(label="dead", state=State.FAILED)
    lab.evaluate(tuned=lab.tune(state=State.CANCELLED))
    assert not any("partial" in warning for warning in lab.table().warnings)
    lab.evaluate(label="C", state=State.RUNNING)
    lab.evaluate(tuned=lab.tune(state=State.PAUSED))
    (told,) = [warning for warning in lab.table().warnings if warning.startswith("partial")]
    assert "2 of 6 models have no numbers yet" in told
