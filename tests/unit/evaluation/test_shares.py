"""Shares of parts: the number is that of all parts, its chance is that of rows."""

from __future__ import annotations

import random

import pytest

from broker.evaluation import Direction, Kind, MetricResult
from broker.evaluation.shares import compare_results, compare_shares, share_interval, weighted_interval, weighted_mean
from broker.evaluation.statistics import compare, mean_interval, permutation_p, wilson


def sizes_of(rows: int, seed: int) -> list[float]:
    return [float(random.Random(f"{seed} {row}").choice((1, 1, 1, 2, 3))) for row in range(rows)]


def drawn(sizes: list[float], seed: int) -> list[float]:
    """Return shares whose parts pass with a chance of 0.7, those of one row together more often than not."""
    rng = random.Random(seed)
    shares: list[float] = []
    for size in sizes:
        chance = 0.7 + (0.25 if rng.random() < 0.5 else -0.25)
        shares.append(sum(rng.random() < chance for _ in range(int(size))) / size)
    return shares


def test_the_number_is_that_of_all_parts() -> None:
    assert weighted_mean([1.0, 0.25], [1, 4]) == pytest.approx(2 / 5)
    assert share_interval([1.0, 0.25, 0.5], [1, 4, 2]).value == pytest.approx(3 / 7)


def test_equal_rows_are_plain_means() -> None:
    shares = [0.0, 1.0, 0.5, 0.5, 1.0, 0.0, 1.0]
    ones, plain = share_interval(shares, [2.0] * 7), mean_interval(shares)
    assert (ones.value, ones.low, ones.high) == pytest.approx((plain.value, plain.low, plain.high))
    others = [0.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.5]
    found, means = compare_shares(shares, others, [2.0] * 7), compare(Kind.MEAN, shares, others)
    assert (found.n, found.p) == (means.n, means.p)
    numbers = (found.difference, found.low, found.high, found.spread, found.effect)
    assert numbers == pytest.approx((means.difference, means.low, means.high, means.spread, means.effect))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        sizes = sizes_of(80, seed)
        shares = drawn(sizes, seed)
        found = share_interval(shares, sizes)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.7 <= found.high
    assert 180 <= held <= 199


def test_parts_of_one_row_are_no_sample_of_their_own() -> None:
    shares = [1.0, 0.0] * 20
    rows = share_interval(shares, [3.0] * 40)
    parts = wilson(60, 120)
    assert rows.low is not None
    assert rows.high is not None
    assert parts.low is not None
    assert parts.high is not None
    assert rows.high - rows.low > 1.5 * (parts.high - parts.low)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_nothing_has_the_width_of_its_rows(share: float) -> None:
    found, rows = share_interval([share] * 12, [3.0] * 12), wilson(int(share) * 12, 12)
    assert (found.value, found.low, found.high, found.method) == (share, rows.low, rows.high, "Wilson over rows")


def test_nothing_and_one_row() -> None:
    assert share_interval([], []).value is None
    one = share_interval([0.5], [2])
    assert (one.value, one.low, one.high) == (0.5, None, None)


def test_equal_models_tie_and_their_interval_has_a_width() -> None:
    sizes = sizes_of(30, 1)
    shares = drawn(sizes, 1)
    found = compare_shares(shares, shares, sizes)
    assert (found.difference, found.p, found.effect, found.spread) == (0.0, 1.0, 0.0, 0.0)
    assert found.low is not None
    assert found.high is not None
    assert -0.2 < found.low < 0 < found.high < 0.2


def test_the_test_flips_rows_by_their_parts() -> None:
    left, right, sizes = [1.0, 0.5, 1.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 0.0, 1.0, 0.0], [3.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    found = compare_shares(left, right, sizes)
    assert found.difference == pytest.approx((3 + 0 + 1 + 0 + 0 + 1) / 10)
    # Six rows, three of which differ, by 3, 1 and 1 parts: of 2^3 signs, two give a sum as far out.
    assert found.p == pytest.approx(2 / 8)
    assert found.p == permutation_p([3, 1, 2, 0, 1, 1], [0, 1, 1, 0, 1, 0])


def test_rows_without_a_value_of_both_are_left_out() -> None:
    found = compare_shares([1.0, None, 0.5], [0.5, 1.0, 0.5], [2.0, 3.0, 2.0])
    assert (found.n, found.difference) == (2, 0.25)
    assert compare_shares([None], [1.0], [1.0]).n == 0
    assert compare_shares([1.0], [0.0], [3.0]).spread is None


def test_false_alarms_are_as_rare_as_alpha_says() -> None:
    alarms = 0
    for seed in range(200):
        sizes = sizes_of(40, seed)
        left, right = drawn(sizes, seed), drawn(sizes, 1000 + seed)
        alarms += compare_shares(left, right, sizes, interval=False).p < 0.05
    assert 2 <= alarms <= 18


def result(kind: Kind, values: tuple[float | None, ...], parts: tuple[float, ...] = ()) -> MetricResult:
    return MetricResult(
        name="x",
        label="x",
        unit="%",
        direction=Direction.HIGHER,
        kind=kind,
        version="1",
        values=values,
        parts=parts,
    )


def test_results_are_compared_by_their_kind() -> None:
    one, other = (1.0, 1.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.0)
    assert compare_results(result(Kind.PROPORTION, one), result(Kind.PROPORTION, other)).method == "McNemar, exact"
    assert compare_results(result(Kind.MEAN, one), result(Kind.MEAN, other)).method == "paired permutation"
    sizes = (3.0, 1.0, 1.0, 1.0)
    shares = compare_results(result(Kind.RATIO, one, sizes), result(Kind.RATIO, other, sizes))
    assert shares.difference == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="compare_shares"):
        compare(Kind.RATIO, one, other)


def test_without_weights_a_mean_is_a_mean() -> None:
    assert weighted_mean([1.0, 2.0], []) == 1.5
    assert weighted_interval([1.0, 2.0, 4.0], []) == mean_interval([1.0, 2.0, 4.0])
