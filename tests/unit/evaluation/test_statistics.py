"""Checked against published figures, against closed forms, and against plain enumeration."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from itertools import product
from math import comb, exp, sqrt
from random import Random
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.evaluation.metrics import Kind
from broker.evaluation.statistics import (
    cohens_h,
    compare,
    holm,
    mcnemar_p,
    mean_interval,
    paired_proportions_interval,
    permutation_p,
    wilson,
)

# Darwin's plants: cross- minus self-fertilised heights, eighths of an inch (Fisher, The Design of Experiments, 1935).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17:857 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # 97.4 % of 1,000 prompts.
        (974, 1000, 0.9622, 0.9822),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert found.value == successes / n
    assert found.low == pytest.approx(low, abs=6e-5)
    assert found.high == pytest.approx(high, abs=6e-5)


def test_without_data_there_is_no_number() -> None:
    for found in (wilson(0, 0), mean_interval([])):
        assert (found.value, found.low, found.high) == (None, None, None)


def test_one_value_has_no_interval() -> None:
    found = mean_interval([3.5])
    assert (found.value, found.low, found.high) == (3.5, None, None)


def test_equal_values_show_no_spread() -> None:
    found = mean_interval([2.0] * 5)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_two_values() -> None:
    found = mean_interval([1.0, 3.0])
    assert found.value == 2.0
    assert found.low is not None
    assert found.high is not None
    assert 1.0 <= found.low <= 2.0 <= found.high <= 3.0


def plain_bca(values: list[float], resamples: int) -> tuple[float, float]:
    """The formulas of Efron & Tibshirani, An Introduction to the Bootstrap (1993), 14.9 to 14.15, written out."""
    random, normal, n = Random(5), NormalDist(), len(values)
    mean = sum(values) / n
    means = sorted(sum(random.choices(values, k=n)) / n for _ in range(resamples))
    bias = normal.inv_cdf(sum(m < mean for m in means) / resamples)
    left_out = [(n * mean - value) / (n - 1) for value in values]
    away = [sum(left_out) / n - value for value in left_out]
    bend = sum(d**3 for d in away) / (6 * sum(d**2 for d in away) ** 1.5)

    def end(quantile: float) -> float:
        z = bias + normal.inv_cdf(quantile)
        return means[int(normal.cdf(bias + z / (1 - bend * z)) * resamples)]

    return end(0.025), end(0.975)


def test_bca_of_skewed_data() -> None:
    # Hours between failures of air-conditioning, Proschan (1963); Davison & Hinkley (1997), example 1.1: mean 108.08.
    hours = [3.0, 5.0, 7.0, 18.0, 43.0, 85.0, 91.0, 98.0, 100.0, 130.0, 230.0, 487.0]
    found = mean_interval(hours)
    assert found.value == pytest.approx(108.083, abs=1e-3)
    low, high = plain_bca(hours, 20_000)
    assert found.low == pytest.approx(low, rel=0.05)
    assert found.high == pytest.approx(high, rel=0.05)
    assert found.method == "BCa bootstrap"


def test_bca_agrees_with_t_for_much_well_behaved_data() -> None:
    random = Random(1)
    values = [random.gauss(50, 10) for _ in range(400)]
    found = mean_interval(values)
    assert found.value is not None
    assert found.low is not None
    spread = sqrt(sum((value - found.value) ** 2 for value in values) / 399)
    assert found.value - found.low == pytest.approx(1.966 * spread / 20, rel=0.06)


def test_bca_is_the_same_every_time() -> None:
    values = [float(value) for value in DARWIN]
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_mcnemar_as_published() -> None:
    # Exact binomial by hand: 2 * P(X <= 1 | 8, 1/2) = 18 / 256.
    assert mcnemar_p(1, 7) == pytest.approx(18 / 256)
    # Agresti, Categorical Data Analysis, table 10.1 (approval of the Prime Minister): 150 and 86 changed their minds,
    # z = 4.17; the exact p is near 3.7e-5.
    assert mcnemar_p(150, 86) == pytest.approx(3.7e-5, rel=0.05)
    assert mcnemar_p(86, 150) == mcnemar_p(150, 86)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (5, 5), (1, 0), (3, 2)])
def test_mcnemar_that_shows_nothing(left: int, right: int) -> None:
    assert mcnemar_p(left, right) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_two_sided_binomial(left: int, right: int) -> None:
    n, k = left + right, min(left, right)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar_p(left, right) == pytest.approx(min(1.0, 2 * tail))


def test_permutation_as_published() -> None:
    # Fisher 1935, section 21: 5.267 % of all sign flips reach the sum seen. With 15 rows random flips are drawn, so the
    # third digit may differ.
    assert permutation_p([float(d) for d in DARWIN], [0.0] * 15) == pytest.approx(0.05267, abs=0.006)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=8).filter(any))
def test_permutation_of_few_rows_is_exact(differences: list[int]) -> None:
    seen = abs(sum(differences))
    flips = product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    p = permutation_p([float(d) for d in differences], [0.0] * len(differences))
    assert p == pytest.approx(sum(total >= seen for total in sums) / len(sums))


def test_random_flips_agree_with_scipys_permutation_of_pairs() -> None:
    random = Random(4)
    left = [random.gauss(0, 3) for _ in range(40)]
    right = [value + random.gauss(0.4, 1) for value in left]
    stats: Any = import_module("scipy.stats")
    numpy: Any = import_module("numpy")

    def mean_difference(a: Any, b: Any) -> Any:
        return (a - b).mean()

    other = stats.permutation_test(
        (numpy.array(left), numpy.array(right)),
        mean_difference,
        permutation_type="samples",
        vectorized=False,
        n_resamples=9999,
        rng=numpy.random.default_rng(1),
    )
    assert permutation_p(left, right) == pytest.approx(other.pvalue, abs=0.005)
    assert permutation_p(left, right) == permutation_p(left, right)
    assert permutation_p(right, left) == pytest.approx(permutation_p(left, right))


def test_rows_that_do_not_differ_change_no_permutation() -> None:
    differences = [3.0, -1.0, 2.0, 4.0, 2.5, 1.5, 0.5]
    alone = permutation_p(differences, [0.0] * 7)
    assert permutation_p([*differences, *[0.0] * 400], [0.0] * 407) == alone


def test_a_plain_difference_survives_any_family() -> None:
    random = Random(8)
    values = [random.gauss(2, 1) for _ in range(300)]
    # Random flips alone end at 2 / 10,000; Hoeffding's bound of the exact p value does not.
    p = permutation_p(values, [0.0] * 300)
    assert p < 1e-9
    z2 = sum(values) ** 2 / sum(value * value for value in values)
    assert p == pytest.approx(2 * exp(-z2 / 2))
    assert holm([p] * 3000)[0] < 0.001


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-9, 9).filter(bool), min_size=2, max_size=11))
def test_hoeffdings_bound_is_one(differences: list[int]) -> None:
    seen = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    exact = sum(total >= seen for total in sums) / len(sums)
    assert exact <= 2 * exp(-(seen**2) / (2 * sum(d * d for d in differences))) + 1e-12


def test_the_rounding_of_a_constant_shift_is_no_spread() -> None:
    left = [0.1 * i for i in range(50)]
    found = compare(Kind.MEAN, [value + 0.1 for value in left], left)
    assert found.effect is None
    assert found.spread == 0.0
    assert found.p < 1e-9


def test_the_same_in_every_process() -> None:
    code = (
        "from broker.evaluation.metrics import Kind; from broker.evaluation.statistics import compare;"
        "from random import Random; r = Random(3); a = [r.gauss(0, 3) for _ in range(60)];"
        "print(compare(Kind.MEAN, a, [v + r.gauss(0.3, 1) for v in a]))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_holm_as_published() -> None:
    # Wright, Biometrics 48:1005 (1992), and R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm").
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_identical_runs_tie() -> None:
    for kind, values in ((Kind.PROPORTION, [1.0, 0.0] * 20), (Kind.MEAN, [0.1 * i for i in range(40)])):
        found = compare(kind, values, values)
        assert (found.p, found.difference, found.effect) == (1.0, 0.0, 0.0)
        assert found.low is not None
        assert found.high is not None
        assert found.low == pytest.approx(-found.high)
        # 40 prompts without a difference do not prove that there is none: the rule of three says 3 / 40.
        assert found.high == pytest.approx(0.0876 if kind is Kind.PROPORTION else 0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("only_left", "only_right", "n", "low", "high"),
    [
        # Airway hyper-responsiveness before and after transplantation (Bentur 2009): 1 and 7 of 21. Fagerland, Lydersen
        # & Laake, Statistics in Medicine 33:2850 (2014), Tango's interval.
        (1, 7, 21, -0.517, -0.026),
        # Never different: z² / (n + z²), z = 1.96.
        (0, 0, 40, -0.08762, 0.08762),
        # Always different: (n - z²) / (n + z²).
        (40, 0, 40, 0.82476, 1.0),
        (0, 40, 40, -1.0, -0.82476),
    ],
)
def test_tango_as_published(only_left: int, only_right: int, n: int, low: float, high: float) -> None:
    found = paired_proportions_interval(only_left, only_right, n)
    assert found == pytest.approx((low, high), abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
def test_tango_is_where_the_score_is_at_its_quantile(only_left: int, only_right: int, same: int) -> None:
    n = only_left + only_right + same
    found = paired_proportions_interval(only_left, only_right, n)
    if n == 0:
        assert found is None
        return
    assert found is not None
    mirrored = paired_proportions_interval(only_right, only_left, n)
    assert mirrored == pytest.approx((-found[1], -found[0]))
    assert -1 <= found[0] <= (only_left - only_right) / n <= found[1] <= 1
    # It holds zero exactly when McNemar's statistic (not exact, without a correction) is within 1.96.
    differing = only_left + only_right
    if differing:
        z = (only_left - only_right) / sqrt(differing)
        assert (found[0] > 1e-9 or found[1] < -1e-9) == (abs(z) > 1.959964)


def test_a_plain_difference_is_found() -> None:
    base, tuned = [0.0] * 30 + [1.0] * 10, [1.0] * 38 + [0.0] * 2
    found = compare(Kind.PROPORTION, tuned, base)
    assert found.method == "McNemar, exact"
    assert found.p < 1e-5
    assert found.difference == pytest.approx(0.7)
    assert found.spread == pytest.approx(32 / 40)
    assert found.low is not None
    assert 0.45 < found.low < 0.7


def test_means_are_compared_in_pairs() -> None:
    random = Random(2)
    easy = [random.gauss(0, 20) for _ in range(50)]
    shifted = [value + 1 + random.gauss(0, 1) for value in easy]
    found = compare(Kind.MEAN, shifted, easy)
    # Unpaired, a shift of 1 against a spread of 20 would never show.
    assert found.p < 0.001
    assert found.method == "paired permutation"
    assert found.effect == pytest.approx(1, abs=0.4)


def test_only_rows_with_both_values_are_compared() -> None:
    found = compare(Kind.MEAN, [1.0, None, 3.0, 4.0], [1.0, 2.0, None, 5.0])
    assert (found.n, found.difference) == (2, -0.5)


@pytest.mark.parametrize("kind", [Kind.PROPORTION, Kind.MEAN])
def test_nothing_to_compare(kind: Kind) -> None:
    found = compare(kind, [None, 1.0], [1.0, None])
    assert (found.n, found.difference, found.p, found.effect, found.spread) == (0, None, 1.0, None, None)


def test_one_row_shows_nothing() -> None:
    assert compare(Kind.MEAN, [2.0], [1.0]).p == 1.0
    assert compare(Kind.PROPORTION, [1.0], [0.0]).p == 1.0


def test_a_constant_shift_has_no_effect_size_but_a_p_value() -> None:
    found = compare(Kind.MEAN, [2.0] * 10, [1.0] * 10)
    assert found.effect is None
    assert found.p == pytest.approx(2 / 2**10)


def test_cohens_h_as_published() -> None:
    # Cohen 1988, section 6.2.1: P = .65 against .50 has h = .30.
    assert cohens_h(0.65, 0.50) == pytest.approx(0.30, abs=0.005)
    assert cohens_h(0.0, 1.0) == pytest.approx(-3.1416, abs=1e-4)
