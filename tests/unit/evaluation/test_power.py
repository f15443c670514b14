"""What n prompts could have shown: against published figures, and against the tests themselves by simulation."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from math import sqrt
from random import Random
from typing import Any, cast

import pytest

from broker.evaluation.power import detectable_mean, detectable_proportion, fewest, mcnemar_power
from broker.evaluation.statistics import mcnemar_p, permutation_p


def connor(n: int, discordant: float) -> float:
    """Connor, Biometrics 43:207 (1987), formula (3), solved for the difference at alpha 0.05 and power 0.8."""
    optimize: Any = import_module("scipy.optimize")

    def shortfall(difference: float) -> float:
        share = max(discordant, difference)
        return difference * sqrt(n) - 1.959964 * sqrt(share) - 0.841621 * sqrt(share - difference**2)

    found: float = optimize.brentq(shortfall, 1e-9, 1.0)
    return found


def test_the_power_of_the_exact_test_as_published() -> None:
    # O'Brien (2002), pp. 161-163, and the manual of G*Power 3.1, "McNemar test": odds ratio 0.25, 40 % discordant,
    # n = 50, one-sided alpha 0.05: power 0.839343 (which is 0.10 two-sided; the other tail adds next to nothing).
    assert mcnemar_power(50, 0.4, 0.24, alpha=0.10) == pytest.approx(0.839343, abs=3e-5)


def test_connors_formula_and_the_exact_test_agree_for_many_rows() -> None:
    # Chow, Shao & Wang, Sample Size Calculations in Clinical Research, 5.4.3: p10 = 0.5, p01 = 0.2, power 0.8: n = 59.
    assert connor(59, 0.7) == pytest.approx(0.30, abs=0.002)
    assert detectable_proportion(59, 0.7) == pytest.approx(0.30, abs=0.013)
    for n, discordant in ((2000, 0.5), (10000, 0.2), (20000, 0.5)):
        assert detectable_proportion(n, discordant) == pytest.approx(connor(n, discordant), rel=0.015)


@pytest.mark.parametrize(("n", "discordant"), [(20, 0.3), (50, 0.1), (200, 0.05), (200, 0.3), (1000, 0.02)])
def test_connors_formula_promises_the_exact_test_too_much(n: int, discordant: float) -> None:
    theirs, ours = connor(n, discordant), detectable_proportion(n, discordant)
    assert ours is not None
    assert mcnemar_power(n, max(discordant, theirs), theirs) < 0.795
    assert mcnemar_power(n, max(discordant, ours), ours) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(("n", "discordant"), [(40, 0.2), (100, 0.1), (200, 0.3)])
def test_a_detectable_proportion_is_found_four_times_in_five(n: int, discordant: float) -> None:
    difference = detectable_proportion(n, discordant)
    assert difference is not None
    share = max(discordant, difference)
    random, found, runs = Random(3), 0, 1500
    for _ in range(runs):
        draws = [random.random() for _ in range(n)]
        left = sum(draw < (share + difference) / 2 for draw in draws)
        right = sum((share + difference) / 2 <= draw < share for draw in draws)
        found += mcnemar_p(left, right) < 0.05
    # Four standard errors of 1,500 runs.
    assert found / runs == pytest.approx(0.8, abs=0.041)


@pytest.mark.parametrize(("n", "within"), [(6, 0.06), (8, 0.06), (10, 0.06), (30, 0.08)])
def test_a_detectable_mean_is_found_four_times_in_five(n: int, within: float) -> None:
    shift = detectable_mean(n, 1.0)
    assert shift is not None
    random, runs = Random(5), 700 if n < 14 else 250
    found = sum(permutation_p([random.gauss(shift, 1) for _ in range(n)], [0.0] * n) < 0.05 for _ in range(runs))
    assert found / runs == pytest.approx(0.8, abs=within)


def test_with_no_differing_row_it_is_what_the_exact_test_needs() -> None:
    assert mcnemar_p(6, 0) < 0.05 < mcnemar_p(5, 0)
    assert fewest() == 6
    # Six or more rows, all one way, in four of five cases: 7.9 expected.
    assert detectable_proportion(1000, 0.0) == pytest.approx(0.0079, abs=0.0001)
    least = detectable_proportion(200, 0.0)
    assert least is not None
    assert least >= 6 / 200


def test_more_rows_show_less() -> None:
    few, many = detectable_proportion(200, 0.2), detectable_proportion(1000, 0.2)
    assert few is not None
    assert many is not None
    assert many < few
    assert few / many == pytest.approx(sqrt(5), rel=0.06)


def test_more_differing_rows_hide_more() -> None:
    shown = [detectable_proportion(200, share) for share in (0.0, 0.05, 0.1, 0.3, 0.7, 1.0)]
    known = [one for one in shown if one is not None]
    assert len(known) == len(shown)
    assert known == sorted(known)


def test_too_few_rows_show_nothing() -> None:
    assert detectable_proportion(0, 0.5) is None
    assert detectable_proportion(5, 0.5) is None
    # Five differences of one sign have p = 2 / 32.
    assert permutation_p([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5) == pytest.approx(0.0625)
    assert detectable_mean(5, 1.0) is None
    assert detectable_mean(6, 1.0) is not None


def test_a_detectable_mean_as_published() -> None:
    # Cohen 1988, table 2.4.1 for paired designs, and G*Power: dz = 0.5, alpha 0.05, power 0.8 needs n = 34.
    assert detectable_mean(34, 1.0) == pytest.approx(0.5, abs=0.006)
    assert detectable_mean(34, 10.0) == pytest.approx(5.0, abs=0.06)


def test_every_number_of_rows_has_an_answer() -> None:
    found = [detectable_mean(n, 1.0) for n in range(6, 1400, 1)]
    assert all(isinstance(one, float) for one in found)
    assert all(one > later for one, later in pairwise(cast("list[float]", found)))
