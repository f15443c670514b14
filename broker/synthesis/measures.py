"""What a set of texts looks like in numbers: histograms, n-gram diversity, what is said again and again. Pure."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_NICE = (1, 2, 5)
_BINS = 20
# The longest texts, so many of a hundred, share the last bar.
_TAIL = 0.99
REPEATED = 4
_COMMON = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts by value, for one or more series side by side.

    Attributes:
        title: What is counted.
        unit: Of the values.
        edges: Where bars begin and end, ascending; one more than there are bars.
        counts: For each series a count a bar. The first bar also counts what is below it, the last what is above.
        means: Mean of each series; None without values.
        shares: Remarks with a number of each series, such as "≥ 60": 0.83.
    """

    title: str
    unit: str
    edges: tuple[float, ...]
    counts: Mapping[str, tuple[int, ...]]
    means: Mapping[str, float | None]
    shares: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """How varied the words of some texts are.

    Attributes:
        distinct: Different n-grams over all n-grams, for n = 1, 2, 3 (Li et al. 2016); more texts have lower values.
        repeated: Mean share of a text's 4-grams that another text has too; None when no text is that long.
        common: The 4-grams that most texts have, with the number of texts.
        texts: How many.
    """

    distinct: tuple[float | None, float | None, float | None]
    repeated: float | None
    common: tuple[tuple[str, int], ...]
    texts: int


def word_list(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def histogram(
    title: str,
    unit: str,
    series: Mapping[str, Sequence[float]],
    *,
    edges: Sequence[float] | None = None,
    at_least: Sequence[float] = (),
) -> Histogram:
    """Count values.

    Args:
        title: What is counted.
        unit: Of the values.
        series: Values by name.
        edges: Of the bars; round ones that suit the values when None.
        at_least: Marks for which the share of values at or above is told.
    """
    every = sorted(value for values in series.values() for value in values)
    bars = tuple(edges) if edges is not None else _edges(every)
    return Histogram(
        title=title,
        unit=unit,
        edges=bars,
        counts={name: _counts(values, bars) for name, values in series.items()},
        means={name: sum(values) / len(values) if values else None for name, values in series.items()},
        shares={f"≥ {mark:g}": _shares(series, mark) for mark in at_least},
    )


def _shares(series: Mapping[str, Sequence[float]], mark: float) -> dict[str, float]:
    return {name: sum(value >= mark for value in values) / len(values) for name, values in series.items() if values}


def _edges(values: Sequence[float]) -> tuple[float, ...]:
    """Return round edges from zero (or the least value below it) to where the tail begins."""
    if not values:
        return (0.0, 1.0)
    low = min(0.0, values[0])
    high = values[min(len(values) - 1, int(_TAIL * len(values)))]
    least = max((high - low) / _BINS, 1e-9)
    power = 10 ** math.floor(math.log10(least))
    step = next(power * nice for nice in (*_NICE, 10) if power * nice >= least)
    step = max(step, 1.0) if all(float(value).is_integer() for value in values) else step
    first = math.floor(low / step)
    return tuple(step * index for index in range(first, math.floor(high / step) + 2))


def _counts(values: Iterable[float], edges: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = sum(value >= edge for edge in edges[1:-1])
        counts[place] += 1
    return tuple(counts)


def diversity(texts: Sequence[str]) -> Diversity:
    """Measure how varied texts are.

    Args:
        texts: Any number of them.
    """
    split = [word_list(text) for text in texts]
    sets = [{tuple(words[at : at + REPEATED]) for at in range(len(words) - REPEATED + 1)} for words in split]
    spread = Counter(gram for grams in sets for gram in grams)
    shares = [sum(spread[gram] > 1 for gram in grams) / len(grams) for grams in sets if grams]
    shared = ((gram, count) for gram, count in spread.items() if count > 1)
    common = heapq.nsmallest(_COMMON, shared, key=lambda item: (-item[1], item[0]))
    return Diversity(
        distinct=(_distinct(split, 1), _distinct(split, 2), _distinct(split, 3)),
        repeated=sum(shares) / len(shares) if shares else None,
        common=tuple((" ".join(gram), count) for gram, count in common),
        texts=len(texts),
    )


def _distinct(split: Sequence[Sequence[str]], n: int) -> float | None:
    found: set[tuple[str, ...]] = set()
    total = 0
    for words in split:
        for at in range(len(words) - n + 1):
            found.add(tuple(words[at : at + n]))
            total += 1
    return len(found) / total if total else None
