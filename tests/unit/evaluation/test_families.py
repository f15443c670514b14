"""Preferences over several pairs are tested together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.evaluation.families import in_family, with_holm
from broker.evaluation.preference import PreferenceResult, Source, load_preferences, save_preference, weigh
from broker.results.preferences import preference_verdict, sign_test
from tests.unit.evaluation.test_preference import PAIR, look

if TYPE_CHECKING:
    from pathlib import Path


def won(wins: int, losses: int, other: str = "job-b", by: str = "openai:judge") -> PreferenceResult:
    looks = [look(i, "left" if i < wins else "right") for i in range(wins + losses)]
    pair = replace(PAIR, right=other, right_label=other)
    return weigh(pair, Source.JUDGE, by, looks, swapped=False)


def test_holm_over_the_pairs_of_one_judge() -> None:
    # Exact sign tests: 10 to 0 is 2/1024, 9 to 1 is 22/1024, 8 to 2 is 112/1024.
    nine, eight, ten = with_holm([won(9, 1, "b"), won(8, 2, "c"), won(10, 0, "d")])
    assert ten.p_adjusted == pytest.approx(3 * 2 / 1024)
    assert nine.p_adjusted == pytest.approx(2 * 22 / 1024)
    assert eight.p_adjusted == pytest.approx(112 / 1024)
    assert nine.p == pytest.approx(22 / 1024)
    assert nine.family == 3


def test_a_pair_among_many_is_no_winner_by_chance() -> None:
    several = with_holm([won(9, 1, str(i)) for i in range(5)])
    assert several[0].p < 0.05
    assert {preference_verdict(one) for one in several} == {f"tuned and {i} cannot be told apart" for i in range(5)}
    assert sign_test(several[0]) == "sign test p = 0.021, p = 0.11 after Holm over 5 comparisons"


def test_another_judge_another_question_and_nothing_are_other_families() -> None:
    asked = replace(won(9, 1, "c"), made_by={"criterion": "which is kinder?"})
    nothing = PreferenceResult(pair=PAIR, source=Source.JUDGE, by="openai:judge")
    found = with_holm([won(9, 1), won(9, 1, by="gemini:judge"), asked, nothing])
    assert [one.family for one in found] == [1, 1, 1, 1]
    assert [one.p_adjusted for one in found] == [*[pytest.approx(22 / 1024)] * 3, None]
    assert sign_test(found[0]) == "sign test p = 0.021"


def test_a_result_finds_itself_from_either_side(tmp_path: Path) -> None:
    results = [won(9, 1, "b"), won(10, 0, "c")]
    for result in with_holm(results):
        save_preference(result, tmp_path)
    kept = load_preferences(tmp_path, "tone")
    assert {one.p_adjusted for one in kept} == {None}  # the next result would change it
    for result in (results[0], results[0].turned()):
        assert in_family(result, kept).p_adjusted == pytest.approx(22 / 1024)
    assert in_family(won(9, 1, "unknown"), kept).p_adjusted is None
