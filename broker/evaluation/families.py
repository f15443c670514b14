"""Preferences tested together: whoever asks one judge, or the same people, about several pairs makes several tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.evaluation.preference import PreferenceResult, Source, mark_of
from broker.evaluation.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_holm(results: Sequence[PreferenceResult]) -> list[PreferenceResult]:
    """Return results in order, with their p values after Holm over each family.

    A family is what a table shows of one judge, or of people, with one question; judged again with other settings,
    a pair counts again. Results without a verdict are in none.

    Args:
        results: Of one experiment.
    """
    families: dict[tuple[str, str, str], list[int]] = {}
    for i, result in enumerate(results):
        if result.n:
            families.setdefault(_family(result), []).append(i)
    adjusted = list(results)
    for places in families.values():
        for i, p in zip(places, holm([results[i].p for i in places]), strict=True):
            adjusted[i] = replace(results[i], p_adjusted=p, family=len(places))
    return adjusted


def in_family(result: PreferenceResult, kept: Sequence[PreferenceResult]) -> PreferenceResult:
    """Return a result with its p value after Holm over its family.

    Args:
        result: Of either side.
        kept: All results of the experiment, this one among them.
    """
    own = _identity(result)
    found = next((one for one in with_holm(kept) if _identity(one) == own), None)
    return replace(result, p_adjusted=found.p_adjusted, family=found.family) if found else result


def _family(result: PreferenceResult) -> tuple[str, str, str]:
    if result.source is Source.JUDGE:
        return result.source, result.by, str(result.made_by.get("criterion", ""))
    return result.source, "", result.panel.criterion if result.panel else ""


def _identity(result: PreferenceResult) -> tuple[frozenset[str], str]:
    return frozenset((result.pair.left, result.pair.right)), mark_of(result)
