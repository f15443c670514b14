from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.evaluation.panel import clustered_share, easier_wins, rank_correlation
from broker.evaluation.preference import PreferenceResult, Winner, load_preferences, save_preference
from broker.jobs.codec import dump, load
from broker.voting import tally
from tests.unit.voting.poll import ballot, votes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def flat(_text: str) -> float:
    return 50.0


def longer(text: str) -> float:
    return float(len(text))


def counted(wins: dict[str, str], count: int = 20, score: Callable[[str], float | None] = flat) -> PreferenceResult:
    made = ballot(count)
    return tally(made, votes(made, wins), score=score)


def test_a_prompt_goes_to_the_model_that_more_voters_prefer() -> None:
    result = counted({"ann": "llr=", "bob": "lr==", "cyd": "lr=-"}, 4)
    assert {row.winner for row in result.rows if (row.left, row.right, row.ties) == (3, 0, 0)} == {Winner.LEFT}
    assert (result.n, result.wins, result.losses, result.ties) == (4, 1, 2, 1)
    panel = result.panel
    assert panel is not None
    assert (panel.votes, panel.left, panel.right, panel.ties, panel.skipped, panel.voters) == (11, 4, 3, 4, 1, 3)
    assert result.by == "3 voters"


def test_agreement_is_of_votes_on_the_same_prompt() -> None:
    assert counted({"ann": "lllrrr", "bob": "lllrrr"}, 6).agreement == 1.0
    assert counted({"ann": "lllrrr", "bob": "lllrrr"}, 6).alpha == 1.0
    mixed = counted({"ann": "lllrrr", "bob": "llrrrl"}, 6)
    assert mixed.agreement == pytest.approx(4 / 6)
    # Krippendorff 2011, section A (two observers, binary): 1 - (n - 1) * o01 / (n0 * n1), n = 12, o01 = 2, n0 = n1 = 6.
    assert mixed.alpha == pytest.approx(1 - 11 * 2 / 36)


def test_one_voter_agrees_with_nobody_and_speaks_for_one() -> None:
    result = counted({"ann": "l" * 20})
    assert (result.agreement, result.alpha) == (None, None)
    assert result.by == "1 voter"
    assert any("one person's taste" in remark for remark in result.remarks)


def test_votes_on_answers_that_changed_do_not_count() -> None:
    made = ballot(4)
    cast = votes(made, {"ann": "llll"})
    changed = ballot(5)
    assert tally(changed, cast, score=flat).n == 4
    other = tally(ballot(2), cast, score=flat)
    assert other.panel is not None
    assert (other.n, other.panel.stale) == (2, 2)
    assert any("changed since" in remark for remark in other.remarks)


def test_voters_who_take_the_first_answer_are_found_out() -> None:
    first = "".join("l" if i % 2 == 0 else "r" for i in range(20))
    result = counted({"ann": first, "bob": first, "cyd": first, "dan": first, "eve": first, "fay": first})
    panel = result.panel
    assert panel is not None
    assert (panel.first.value, result.position_bias) == (1.0, 0.5)
    assert any("lean to one side: 100%" in remark for remark in result.remarks)


def test_fair_voters_lean_to_no_side() -> None:
    result = counted(dict.fromkeys("abcdef", "llll" * 5))
    assert result.panel is not None
    assert result.panel.first.value == 0.5
    assert not any("lean" in remark for remark in result.remarks)


def test_hasty_votes_are_told() -> None:
    made = ballot(4)
    cast = votes(made, {"ann": "llll", "bob": "lrlr"})
    hasty = tally(made, [replace(vote, ms=300) for vote in cast], score=flat)
    assert any("less than" in remark for remark in hasty.remarks)
    assert not any("less than" in remark for remark in tally(made, cast, score=flat).remarks)


def test_prompts_without_a_vote_are_counted() -> None:
    result = counted({"ann": "llr"}, 5)
    assert result.unscored == 2
    assert any("2 of 5 prompts have no vote yet" in remark for remark in result.remarks)


def test_no_votes() -> None:
    result = counted({})
    assert (result.n, result.win_rate, result.p) == (0, None, 1.0)


def test_the_result_survives_the_disk_and_turns_round(tmp_path: Path) -> None:
    result = counted({"ann": "lllllrl=-l", "bob": "llrllll=-l", "cyd": "rlllllll=l"}, 10, longer)
    save_preference(result, tmp_path)
    assert load_preferences(tmp_path, "tone") == [result]
    assert load(PreferenceResult, dump(result)) == result
    assert result.turned().turned() == result
    panel, turned = result.panel, result.turned().panel
    assert panel is not None
    assert turned is not None
    assert panel.share.value is not None
    assert turned.share.value == pytest.approx(1 - panel.share.value)
    assert (turned.left, turned.right, turned.ease) == (panel.right, panel.left, panel.ease)
    more = counted({"ann": "llllllllll"}, 10)
    assert save_preference(more, tmp_path) == save_preference(result, tmp_path)


# --- single votes ---------------------------------------------------------------------------------------------------


def test_more_voters_like_one_another_do_not_make_the_prompts_more() -> None:
    """Twenty copies of one voter know as much as one: the interval over voters and prompts must not shrink."""
    letters = "llrlrllrlrllrlrllrlr"
    few = counted({f"v{i}": letters for i in range(4)})
    many = counted({f"v{i}": letters for i in range(20)})
    for result in (few, many):
        assert result.panel is not None
    width = {result.by: _width(result) for result in (few, many)}
    assert width["20 voters"] > 0.35
    assert width["4 voters"] > width["20 voters"]


def _width(result: PreferenceResult) -> float:
    assert result.panel is not None
    share = result.panel.share
    assert share.low is not None
    assert share.high is not None
    return share.high - share.low


def test_voters_who_differ_make_the_share_uncertain() -> None:
    split = counted({"ann": "l" * 20, "bob": "r" * 20, "cyd": "l" * 20, "dan": "r" * 20})
    assert split.panel is not None
    share = split.panel.share
    assert share.value == 0.5
    assert share.low is not None
    assert share.low < 0.2


def test_unanimous_votes_are_as_sure_as_there_are_voters() -> None:
    share = clustered_share([1.0] * 60, ["ann", "bob", "cyd"] * 20, [str(i // 3) for i in range(60)])
    # Wilson's interval of 3 in 3 at 95 %: 1 / (1 + z² / 3), z = 1.959964.
    assert share.low == pytest.approx(1 / (1 + 1.959964**2 / 3), abs=1e-6)
    assert share.p == 0.25


def test_the_clustered_interval_is_that_of_two_way_clustering() -> None:
    """Against the formula of Cameron, Gelbach and Miller (2011): V = V(voter) + V(prompt) - V(both)."""
    points = [1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0.5, 1]
    voters = ["a", "b", "c"] * 4
    rows = [str(i // 3) for i in range(12)]
    mean = sum(points) / 12

    def variance(groups: list[str]) -> float:
        names, k = set(groups), len(set(groups))
        sums = [sum(p - mean for p, g in zip(points, groups, strict=True) if g == name) for name in names]
        return k / (k - 1) * sum(total**2 for total in sums) / 12**2

    both = [f"{voter}{row}" for voter, row in zip(voters, rows, strict=True)]
    spread = (variance(voters) + variance(rows) - variance(both)) ** 0.5
    found = clustered_share(points, voters, rows)
    t = 4.302653  # of 2 degrees of freedom: one fewer than the voters
    assert found.low == pytest.approx(max(0, mean - t * spread), abs=1e-5)
    assert found.high == pytest.approx(min(1, mean + t * spread), abs=1e-5)


# --- ease of reading ------------------------------------------------------------------------------------------------


def test_people_who_take_the_easier_answer() -> None:
    scores = {
        f"{word} answer {i}.": 60.0 + (i if word == "warm" else 10) for i in range(20) for word in ("warm", "cool")
    }
    made = ballot(20)
    easier = [
        "l" if scores[row.left] > scores[row.right] else "r" if scores[row.left] < scores[row.right] else "="
        for row in made.every
    ]
    result = tally(made, votes(made, {"ann": easier, "bob": easier}), score=scores.get)
    panel = result.panel
    assert panel is not None
    assert (panel.easier.value, panel.easier.n, panel.ease.n) == (1.0, 19, 20)
    assert panel.ease.value is not None
    assert panel.ease.low is not None
    assert panel.ease.p is not None
    assert 0 < panel.ease.low < panel.ease.value <= 1
    assert panel.ease.p < 0.01


def test_ease_that_does_not_differ_says_nothing() -> None:
    result = counted({"ann": "lr" * 10})
    assert result.panel is not None
    assert (result.panel.easier.value, result.panel.ease.value) == (None, None)


def test_answers_without_words_have_no_ease() -> None:
    result = counted({"ann": "lr" * 10}, score=lambda _text: None)
    assert result.panel is not None
    assert result.panel.ease.n == 0


def test_spearmans_rho_of_a_published_example() -> None:
    # IQ and hours of television (Wikipedia, "Spearman's rank correlation coefficient"): rho = -29/165, p = 0.627.
    iq = [106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    found = rank_correlation(iq, hours)
    assert found.value == pytest.approx(-29 / 165)
    assert found.p == pytest.approx(0.627, abs=0.02)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low < found.value < found.high <= 1


def test_few_prompts_have_no_interval() -> None:
    found = rank_correlation([1.0, 2, 3], [1.0, 2, 3])
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.p) == (None, None)
    assert rank_correlation([], []).value is None


def test_the_easier_answer_wins_only_where_somebody_wins() -> None:
    found = easier_wins([5.0, -5.0, 5.0, 0.0, 5.0], [1.0, -1.0, -1.0, 1.0, 0.0])
    assert found.value == pytest.approx(2 / 3)
    assert found.n == 3
