"""Where the numbers of a figure lie: limits, ticks and the scale of training-set sizes, the same for both renderers."""

from __future__ import annotations

from math import expm1, log1p
from typing import TYPE_CHECKING

from broker.results.figures.canvas import nice_ticks, text_width, tick_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results.figures.values import Bars, Curves, Forest

_PERCENT = [0.0, 25.0, 50.0, 75.0, 100.0]


def bar_ticks(figure: Bars) -> list[float]:
    """Return the ticks of the axis of bars, which begin at zero."""
    if figure.percent:
        return _PERCENT
    ends = [end for bar in figure.bars for end in (bar.low, bar.value, bar.high, 0.0) if end is not None]
    return nice_ticks(min(ends), max(ends))


def curve_ticks(figure: Curves, *, about: int = 5) -> list[float]:
    """Return the ticks of y, the same in every panel."""
    if figure.percent:
        return _PERCENT
    dots = [dot for panel in figure.panels for line in panel.lines for dot in line.dots]
    ends = [end for dot in dots for end in (dot.low, dot.y, dot.high) if end is not None]
    return nice_ticks(min(ends), max(ends), about)


def step_ticks(figure: Curves, *, about: int = 5) -> list[float]:
    """Return the ticks of a linear x, the same in every panel."""
    xs = [dot.x for panel in figure.panels for line in panel.lines for dot in line.dots]
    return [tick for tick in nice_ticks(0.0, max(xs), about) if tick == round(tick)]


def forest_ticks(figure: Forest) -> list[float]:
    """Return the ticks of differences, zero among them."""
    ends = [end for one in figure.contrasts for end in (one.low, one.high)]
    zone = figure.zone or 0.0
    return nice_ticks(min(*ends, -zone, 0.0), max(*ends, zone, 0.0), about=7)


def size_place(size: float, smallest: float) -> float:
    """Return where a training-set size stands: near zero by its size, above the smallest by its logarithm."""
    return log1p(size / smallest)


def size_at(place: float, smallest: float) -> float:
    """Return the size that stands at a place."""
    return expm1(place) * smallest


def spaced(ticks: Sequence[float], places: Sequence[float], size: float) -> list[tuple[float, float]]:
    """Return those (tick, place) whose words do not touch: the first and the last stay, then from the left.

    Args:
        ticks: The numbers.
        places: Their pixels, ascending.
        size: Of the text.
    """
    pairs = list(zip(ticks, places, strict=True))
    kept: list[tuple[float, float]] = []
    for tick, place in [*pairs[:1], *pairs[-1:], *pairs[1:-1]]:
        half = text_width(tick_text(tick), size) / 2
        if all(abs(place - other) > half + text_width(tick_text(number), size) / 2 + 6 for number, other in kept):
            kept.append((tick, place))
    return sorted(kept)
