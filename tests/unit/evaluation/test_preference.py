from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import StoreError
from broker.evaluation.agreement import krippendorff_alpha, pairwise_agreement, spread_within
from broker.evaluation.preference import (
    Opinion,
    Pair,
    PreferenceResult,
    Source,
    Winner,
    load_preferences,
    pair_folder,
    save_preference,
    weigh,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAIR = Pair(experiment="tone", left="job-a", right="job-b", left_label="tuned", right_label="base")


def look(row: int, winner: str, *, left_first: bool = True, by: str = "0") -> Opinion:
    return Opinion(row=str(row), winner=Winner(winner), left_first=left_first, by=by)


def both(row: int, first: str, second: str, by: str = "0") -> list[Opinion]:
    return [look(row, first, by=by), look(row, second, left_first=False, by=by)]


def judged(opinions: Sequence[Opinion], rows: int | None = None) -> PreferenceResult:
    return weigh(PAIR, Source.JUDGE, "openai:judge", opinions, swapped=True, rows=rows)


def voted(opinions: Sequence[Opinion]) -> PreferenceResult:
    return weigh(PAIR, Source.PEOPLE, "3 voters", opinions, swapped=False)


def test_alpha_of_the_published_example() -> None:
    # Krippendorff 2011, section E: four observers, twelve units; interval alpha 0.849.
    units = [
        [1, 1, 1],
        [2, 2, 3, 2],
        [3, 3, 3, 3],
        [3, 3, 3, 3],
        [2, 2, 2, 2],
        [1, 2, 3, 4],
        [4, 4, 4, 4],
        [1, 1, 2, 1],
        [2, 2, 2, 2],
        [5, 5, 5],
        [1, 1],
        [3],
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=0.0005)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([[1, 1], [5, 5]]) == 1.0
    assert krippendorff_alpha([[1, 5], [1, 5]]) == pytest.approx(-0.5)
    assert krippendorff_alpha([[3, 3], [3, 3]]) is None
    assert krippendorff_alpha([[3], []]) is None


def test_pairwise_agreement_counts_pairs() -> None:
    assert pairwise_agreement([["a", "a", "b"], ["c"], ["d", "d"]]) == 0.5
    assert pairwise_agreement([["a"]]) is None


def test_spread_within_rows_is_pooled() -> None:
    assert spread_within([[7, 9], [5, 5], [4]]) == pytest.approx(1.0)
    assert spread_within([[4]]) is None


def test_a_verdict_counts_only_if_both_orders_agree() -> None:
    result = judged([*both(0, "left", "left"), *both(1, "left", "right"), *both(2, "right", "right"), look(3, "left")])
    assert [(row.row, row.winner) for row in result.rows] == [("0", "left"), ("1", "tie"), ("2", "right")]
    assert (result.n, result.wins, result.losses, result.ties) == (3, 1, 1, 1)
    assert (result.swaps, result.flips) == (3, 1)


def test_a_judge_who_always_takes_the_first_answer_decides_nothing() -> None:
    result = judged([one for row in range(20) for one in both(row, "left", "right")])
    assert (result.wins, result.losses, result.ties, result.win_rate, result.p) == (0, 0, 20, 0.5, 1.0)
    assert result.position_bias == 0.5
    assert result.flips == 20


def test_a_fair_judge_has_no_position_bias() -> None:
    assert judged([*both(0, "left", "left"), *both(1, "right", "right")]).position_bias == 0.0


def test_a_row_goes_to_the_model_that_more_samples_favour() -> None:
    opinions = [
        *both(0, "left", "left", by="0"),
        *both(0, "left", "right", by="1"),
        *both(0, "left", "left", by="2"),
    ]
    (row,) = judged(opinions).rows
    assert (row.winner, row.left, row.right, row.ties) == (Winner.LEFT, 2, 0, 1)
    assert judged(opinions).agreement == pytest.approx(1 / 3)


def test_people_see_one_order_each_and_the_last_vote_counts() -> None:
    votes = [
        look(0, "right", by="ann"),
        look(0, "left", by="ann"),
        look(0, "left", left_first=False, by="bob"),
        look(1, "tie", by="ann"),
    ]
    result = voted(votes)
    assert [(row.winner, row.left, row.right, row.ties) for row in result.rows] == [("left", 2, 0, 0), ("tie", 0, 0, 1)]
    assert result.agreement == 1.0


def test_the_win_rate_counts_ties_as_halves_and_the_test_leaves_them_out() -> None:
    opinions = [*(look(i, "left") for i in range(9)), *(look(i, "right") for i in range(9, 11))]
    result = voted([*opinions, *(look(i, "tie") for i in range(11, 15))])
    assert result.win_rate == pytest.approx(11 / 15)
    # Wilson's interval of 11 in 15, worked out by hand: (11/15 + z²/30 ± z·sqrt(...)) / (1 + z²/15), z = 1.959964.
    assert result.low == pytest.approx(0.4805, abs=5e-4)
    assert result.high == pytest.approx(0.8910, abs=5e-4)
    # Two-sided binomial of 2 in 11: 2 · (1 + 11 + 55) / 2048.
    assert result.p == pytest.approx(2 * 67 / 2048)


def test_no_opinion_gives_no_number() -> None:
    result = judged([], rows=8)
    assert (result.n, result.win_rate, result.p, result.unscored) == (0, None, 1.0, 8)


def test_rows_come_in_the_order_of_the_set() -> None:
    assert [row.row for row in voted([look(10, "tie"), look(2, "tie")]).rows] == ["2", "10"]


def test_from_the_other_side() -> None:
    result = judged([*both(0, "left", "left"), *both(1, "left", "left"), *both(2, "left", "right")])
    turned = result.turned()
    assert (turned.wins, turned.losses, turned.ties, turned.pair.left) == (0, 2, 1, "job-b")
    assert turned.win_rate == pytest.approx(1 / 6)
    assert turned.low is not None
    assert turned.high is not None
    assert turned.low < 1 / 6 < turned.high
    assert turned.turned() == result


def test_results_are_kept_by_pair_and_judge(tmp_path: Path) -> None:
    one = judged([*both(0, "left", "left")])
    people = voted([look(0, "right", by="ann")])
    save_preference(one, tmp_path)
    save_preference(people, tmp_path)
    again = save_preference(people.turned(), tmp_path)
    assert again.parent == pair_folder(tmp_path, PAIR)
    assert {result.source: result for result in load_preferences(tmp_path, "tone")} == {
        Source.JUDGE: one,
        Source.PEOPLE: people.turned(),
    }
    assert load_preferences(tmp_path, "other") == []


@pytest.mark.parametrize("name", ["../out", "a/b", "..", "ü" * 300])
def test_no_experiment_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    pair = Pair(experiment=name, left="a", right="b", left_label="", right_label="")
    path = save_preference(weigh(pair, Source.PEOPLE, "", [look(0, "left")], swapped=False), tmp_path)
    assert tmp_path / "preferences" in path.parents
    assert len(load_preferences(tmp_path, name)) == 1


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, PAIR)
    folder.mkdir(parents=True)
    (folder / "people.json").write_text('{"wins": "many"}')
    with pytest.raises(StoreError, match=r"people\.json"):
        load_preferences(tmp_path, "tone")
