"""The blocks, the shelves and the double precision must not show: a plain loop says the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import DataError
from broker.synthesis import dedupe
from broker.synthesis.dedupe import Dedupe, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def crowd(seed: int, n: int, d: int, centres: int, spread: float) -> Array:
    """Points around some centres, so that many are close to one another and many are not."""
    draw = np.random.default_rng(seed)
    middle = draw.standard_normal((centres, d))
    points = middle[draw.integers(centres, size=n)] + spread * draw.standard_normal((n, d))
    return points.astype(np.float32)


def names(n: int) -> list[str]:
    return [f"q{i}" for i in range(n)]


def naive(vectors: Array, threshold: float) -> list[tuple[bool, float | None]]:
    """Compare each with each, in double precision."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors.astype(np.float64) / lengths
    accepted: list[int] = []
    found: list[tuple[bool, float | None]] = []
    for i in range(len(unit)):
        cosine = max((float(unit[i] @ unit[j]) for j in accepted), default=None)
        keep = cosine is None or cosine <= threshold
        found.append((keep, cosine))
        if keep:
            accepted.append(i)
    return found


def admit_in_pieces(judge: Dedupe, vectors: Array, cuts: list[int]) -> list[Verdict]:
    ids = names(len(vectors))
    edges = [0, *sorted(cuts), len(vectors)]
    return [verdict for start, end in pairwise(edges) for verdict in judge.admit(vectors[start:end], ids[start:end])]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 120),
    d=st.integers(2, 24),
    centres=st.integers(1, 12),
    spread=st.floats(0.05, 2.0),
    threshold=st.floats(-0.5, 0.99),
    cuts=st.lists(st.integers(0, 120), max_size=4),
)
def test_as_a_plain_loop_would_say(
    seed: int, n: int, d: int, centres: int, spread: float, threshold: float, cuts: list[int]
) -> None:
    vectors = crowd(seed, n, d, centres, spread)
    with pytest.MonkeyPatch.context() as patch:  # many blocks and shelves of few rows
        patch.setattr(dedupe, "_BLOCK", 7)
        patch.setattr(dedupe, "_SHELF", 5)
        judge = Dedupe(threshold)
        verdicts = admit_in_pieces(judge, vectors, [min(cut, n) for cut in cuts])
    expected = naive(vectors, threshold)
    assert [verdict.accepted for verdict in verdicts] == [keep for keep, _ in expected]
    assert len(judge) == sum(keep for keep, _ in expected)
    for verdict, (_, cosine) in zip(verdicts, expected, strict=True):
        assert verdict.cosine == (None if cosine is None else pytest.approx(cosine, abs=2e-6))


def test_the_nearest_is_an_accepted_one_at_that_cosine() -> None:
    vectors = crowd(5, 2000, 16, 300, 0.5)  # several blocks
    verdicts = Dedupe().admit(vectors, names(2000))
    unit = {f"q{i}": row / np.linalg.norm(row) for i, row in enumerate(vectors)}
    accepted = {verdict.id for verdict in verdicts if verdict.accepted}
    assert 200 < len(accepted) < 1900
    for verdict in verdicts[1:]:
        assert verdict.nearest in accepted
        assert verdict.cosine == pytest.approx(float(unit[verdict.id] @ unit[verdict.nearest]), abs=2e-6)


def test_more_items_than_a_shelf_holds() -> None:
    draw = np.random.default_rng(3)
    vectors = draw.standard_normal((5000, 48)).astype(np.float32)
    judge = Dedupe()
    assert all(verdict.accepted for verdict in judge.admit(vectors, names(5000)))
    again = judge.admit(2.5 * vectors[::-1], [f"again{i}" for i in range(5000)])
    assert [verdict.nearest for verdict in again] == names(5000)[::-1]
    assert not any(verdict.accepted for verdict in again)
    assert len(judge) == 5000


def test_at_the_threshold_rounding_does_not_decide() -> None:
    """Cosines are exactly at 0.8 but for the last bits of a single-precision sum; only 'above' rejects."""
    draw = np.random.default_rng(11)
    base = draw.standard_normal(768)
    base /= np.linalg.norm(base)
    rows = [base]
    for _ in range(600):
        aside = draw.standard_normal(768)
        aside -= aside @ base * base
        rows.append(0.8 * base + 0.6 * aside / np.linalg.norm(aside))
    vectors = np.stack(rows).astype(np.float32)
    whole = [verdict.accepted for verdict in Dedupe().admit(vectors, names(601))]
    single = Dedupe()
    one_by_one = [single.admit(vectors[i : i + 1], [f"q{i}"])[0].accepted for i in range(601)]
    assert whole == one_by_one
    assert 20 < sum(whole) < 580


def test_what_was_accepted_before_is_kept_without_comparing() -> None:
    vectors = crowd(9, 400, 12, 60, 0.4)
    straight = Dedupe().admit(vectors, names(400))
    early = [i for i, verdict in enumerate(straight[:150]) if verdict.accepted]
    later = Dedupe()
    later.keep(vectors[early], [f"q{i}" for i in early])
    again = later.admit(vectors[150:], names(400)[150:])
    assert [(one.accepted, one.nearest) for one in again] == [(one.accepted, one.nearest) for one in straight[150:]]


def test_exact_duplicates_at_the_highest_threshold() -> None:
    row = np.full((3, 5), 0.3, dtype=np.float32)
    found = Dedupe(1.0).admit(row, names(3))
    assert [verdict.cosine for verdict in found] == [None, pytest.approx(1.0, abs=1e-6), pytest.approx(1.0, abs=1e-6)]
    assert all(verdict.cosine is None or verdict.cosine <= 1 for verdict in found)


def test_zeros_are_like_nothing() -> None:
    found = Dedupe().admit(np.zeros((2, 4)), names(2))
    assert [verdict.accepted for verdict in found] == [True, True]
    assert found[1].cosine == 0


def test_nothing_in_nothing_out() -> None:
    assert Dedupe().admit([], []) == []


def test_what_cannot_be_compared_is_refused_whole() -> None:
    judge = Dedupe()
    judge.admit(np.eye(3), names(3))
    bad = np.ones((3, 3))
    bad[0, 1], bad[2, 0] = np.nan, np.inf
    with pytest.raises(DataError) as caught:
        judge.admit(bad, ["a", "b", "c"])
    assert [problem.where for problem in caught.value.problems] == ["a", "c"]
    with pytest.raises(DataError, match="vectors of 4 numbers after some of 3"):
        judge.admit(np.ones((1, 4)), ["d"])
    with pytest.raises(DataError, match=r"shape \(2, 3\) for 1 items"):
        judge.admit(np.ones((2, 3)), ["d"])
    assert len(judge) == 3
