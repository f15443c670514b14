"""What a panel of voters says beyond who won each row: how sure single votes make us, habits, and ease of reading.

A panel's votes are not independent: the same people look at the same prompts. So the share of votes has an interval
that counts both as sampled (a cluster-robust one over voters and prompts, by statsmodels); with two or three voters it
is wide, as it should be.

Ease of reading is Flesch's score. Two questions are asked of it (open question 3 of arXiv 2507.04889: is Flesch a proxy
for what people find natural?):

- how often the easier answer of a prompt was the preferred one: the two models may differ in more than ease, so this
  says whether ease and preference go together, not that one makes the other;
- whether, prompt by prompt, a larger difference in ease goes with a clearer preference (Spearman's rho): here what
  distinguishes the two models everywhere is held fixed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any

from broker.evaluation.statistics import CONFIDENCE, SEED, Interval, mcnemar_p, wilson_halves

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Rank correlations of fewer rows than this have no interval worth showing.
FEWEST_RANKED = 6
_RESAMPLES = 999
_FLIPS = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval and test.

    Attributes:
        value: The estimate; None without data.
        low: Lower end of its 95 % interval; None when it cannot be had.
        high: Upper end.
        p: Two-sided p value against "no difference" (a half, or no correlation); None when it cannot be had.
        n: How many things it is about.
        method: How the interval was made.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is known of a vote by people, beside the verdict of each row.

    Attributes:
        criterion: The question that they answered.
        voters: Who gave at least one opinion.
        votes: Opinions, without skipped rows.
        left: Votes for the left model.
        right: Votes for the right one.
        ties: Votes for neither.
        skipped: Rows that a voter passed over.
        median_s: Median seconds of a vote; None without votes.
        share: Share of votes for the left model, ties as halves, over voters and prompts (n: votes).
        first: Share of decided votes for the answer that was shown first (n: decided votes).
        easier: Share of decided prompts on which the answer that is easier to read won (n: those prompts).
        ease: Spearman's rho of the difference in Flesch's score (left minus right) and the preference for the left
            answer (n: prompts).
        left_out: Prompts that could not be voted on, by reason.
        helped: Votes for which the expected answer was shown.
        stale: Votes on answers that have changed since; they do not count.
    """

    criterion: str
    voters: int = 0
    votes: int = 0
    left: int = 0
    right: int = 0
    ties: int = 0
    skipped: int = 0
    median_s: float | None = None
    share: Estimate = field(default_factory=Estimate)
    first: Estimate = field(default_factory=Estimate)
    easier: Estimate = field(default_factory=Estimate)
    ease: Estimate = field(default_factory=Estimate)
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    helped: int = 0
    stale: int = 0

    def turned(self) -> Panel:
        """Return the same from the other side; rho is the same, since both of its sides change sign."""
        share = self.share
        low, high = (None if end is None else 1 - end for end in (share.high, share.low))
        value = None if share.value is None else 1 - share.value
        turned = replace(share, value=value, low=low, high=high)
        return replace(self, left=self.right, right=self.left, share=turned)


def clustered_share(points: Sequence[float], voters: Sequence[str], rows: Sequence[str]) -> Estimate:
    """Return a mean of votes that holds for other voters and other prompts.

    Args:
        points: 0, a half or 1 for each vote.
        voters: Who cast it.
        rows: On which row.

    Returns:
        With several voters, a t interval with standard errors clustered by voter and by row (Cameron, Gelbach and
        Miller 2011; by statsmodels), cut at 0 and 1. With one voter, Wilson's interval over rows: it says nothing of
        other people. Where votes do not differ, Wilson's interval for the smaller number of voters or rows.
    """
    if not points:
        return Estimate()
    people, prompts = len(set(voters)), len(set(rows))
    if people == 1:
        return _counted(points, len(points), "Wilson over prompts, one voter")
    if min(people, prompts) > 1:
        found = _clustered(points, voters, rows)
        if found is not None:
            return found
    fewest = min(people, prompts)
    return _counted(points, fewest, f"Wilson for {fewest}, votes as good as equal")


def _clustered(points: Sequence[float], voters: Sequence[str], rows: Sequence[str]) -> Estimate | None:
    import numpy as np

    groups = np.column_stack([np.unique(np.asarray(names), return_inverse=True)[1] for names in (voters, rows)])
    centred = np.asarray(points, dtype=np.float64) - 0.5
    model: Any = import_module("statsmodels.api").OLS(centred, np.ones(len(points)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of a variance that is not positive, seen below
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        spread = float(fit.bse[0])
    if not isfinite(spread) or spread < 1e-9:
        return None
    low, high = (float(end) + 0.5 for end in fit.conf_int(alpha=1 - CONFIDENCE)[0])
    return Estimate(
        value=float(fit.params[0]) + 0.5,
        low=max(0.0, low),
        high=min(1.0, high),
        p=float(fit.pvalues[0]),
        n=len(points),
        method="clustered by voter and prompt",
    )


def _counted(points: Sequence[float], n: int, method: str) -> Estimate:
    """Return Wilson's interval of a mean as if it came of n rows."""
    mean = sum(points) / len(points)
    found: Interval = wilson_halves(round(2 * mean * n), n)
    pro, contra = (round(n * points.count(point) / len(points)) for point in (1.0, 0.0))
    p = mcnemar_p(pro, contra)
    return Estimate(value=mean, low=found.low, high=found.high, p=p, n=len(points), method=method)


def easier_wins(differences: Sequence[float], preferences: Sequence[float]) -> Estimate:
    """Return how often the answer that is easier to read won.

    Args:
        differences: Flesch's score of the left answer minus the right one's, by row.
        preferences: -1 (right won) to 1 (left won), by row; rows without a winner say nothing.
    """
    decided = [
        1.0 if (difference > 0) == (preference > 0) else 0.0
        for difference, preference in zip(differences, preferences, strict=True)
        if difference and preference
    ]
    return _counted(decided, len(decided), "Wilson over prompts") if decided else Estimate()


def rank_correlation(differences: Sequence[float], preferences: Sequence[float]) -> Estimate:
    """Return Spearman's rho with a bootstrap interval over rows and a permutation test (by scipy).

    Args:
        differences: Flesch's score of the left answer minus the right one's, by row.
        preferences: -1 to 1, by row.

    Returns:
        Nothing when one side does not vary; no interval for fewer than six rows.
    """
    import numpy as np

    ease, liked = np.asarray(differences, dtype=np.float64), np.asarray(preferences, dtype=np.float64)
    if len(ease) < 2 or np.ptp(ease) == 0 or np.ptp(liked) == 0:
        return Estimate(n=len(ease))
    stats: Any = import_module("scipy.stats")
    rho = float(stats.spearmanr(ease, liked).statistic)
    if len(ease) < FEWEST_RANKED:
        return Estimate(value=rho, n=len(ease), method="too few prompts for an interval")
    low, high = _rank_interval(stats, ease, liked)
    p = _rank_test(stats, ease, liked)
    return Estimate(value=rho, low=low, high=high, p=p, n=len(ease), method="percentile bootstrap over prompts")


def _rank_interval(stats: Any, ease: Array, liked: Array) -> tuple[float | None, float | None]:
    import numpy as np

    def rho(rows: NDArray[np.int64]) -> float:
        if np.ptp(ease[rows]) == 0 or np.ptp(liked[rows]) == 0:
            return 0.0  # nothing varies in this sample of rows, so nothing goes with anything
        return float(stats.spearmanr(ease[rows], liked[rows]).statistic)

    found = stats.bootstrap(
        (np.arange(len(ease)),),
        rho,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def _rank_test(stats: Any, ease: Array, liked: Array) -> float:
    """Return the p value of rho: how often shuffled rows go together at least as well."""
    import numpy as np

    one, other = (stats.rankdata(side) - (len(side) + 1) / 2 for side in (ease, liked))

    def together(sample: Array, axis: int = -1) -> Any:
        return (sample * other).sum(axis=axis)

    found = stats.permutation_test(
        (one,),
        together,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_FLIPS,
        rng=np.random.default_rng(SEED),
    )
    return min(1.0, float(found.pvalue))
