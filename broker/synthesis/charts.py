"""Histograms as inline SVG: no script, colours by class, numbers as text that can be selected and read aloud."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.synthesis.measures import Histogram

_WIDTH, _HEIGHT = 460, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 10, 24
_LABELS = 8
_LINES = 4


def chart(histogram: Histogram) -> str:
    """Return a bar chart of a histogram, the series side by side.

    Args:
        histogram: Of at least one series.
    """
    bars = len(histogram.edges) - 1
    step, highest = _scale(max((count for counts in histogram.counts.values() for count in counts), default=0))
    told = ", ".join(f"{name}: mean {number(mean)}" for name, mean in histogram.means.items())
    parts = [_grid(step, highest)]
    for place, (name, counts) in enumerate(histogram.counts.items()):
        parts += [_bar(histogram, name, place, index, count, highest) for index, count in enumerate(counts) if count]
    every = max(1, -(-(bars + 1) // _LABELS))
    parts += [_label(histogram, index) for index in range(0, bars + 1, every)]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(histogram.title)}; {escape(told)}">'
        f"{''.join(parts)}</svg>"
    )


def _bar(histogram: Histogram, name: str, place: int, index: int, count: int, highest: int) -> str:
    series = len(histogram.counts)
    slot = _slot(histogram)
    width = max((slot - 2) / series, 0.5)
    height = max((_HEIGHT - _TOP - _BOTTOM) * count / highest, 0.5)
    x, y = _LEFT + slot * index + 1 + width * place, _HEIGHT - _BOTTOM - height
    hint = f"{name}: {count:,} of {_range(histogram, index)}"
    return (
        f'<rect class="s{place % 3}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        f"<title>{escape(hint)}</title></rect>"
    )


def _range(histogram: Histogram, index: int) -> str:
    low, high = histogram.edges[index], histogram.edges[index + 1]
    if index == len(histogram.edges) - 2:
        return f"{number(low)} and more"
    return f"{number(low)} to {number(high)}"


def _label(histogram: Histogram, index: int) -> str:
    x = _LEFT + _slot(histogram) * index
    anchor = "end" if index == len(histogram.edges) - 1 else "middle"
    text = number(histogram.edges[index])
    return f'<text x="{x:.1f}" y="{_HEIGHT - 7}" text-anchor="{anchor}">{text}</text>'


def _scale(most: int) -> tuple[int, int]:
    """Return a round step for the grid and its highest line, at or above the highest bar."""
    wanted = max(most / _LINES, 1)
    power = 10 ** math.floor(math.log10(wanted))
    step = next(int(power * nice) for nice in (1, 2, 5, 10) if power * nice >= wanted)
    return step, step * max(1, -(-most // step))


def _grid(step: int, highest: int) -> str:
    lines: list[str] = []
    for value in range(0, highest + 1, step):
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / highest
        lines.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    return "".join(lines)


def _slot(histogram: Histogram) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / max(len(histogram.edges) - 1, 1)


def number(value: float | None) -> str:
    """Return a number to read: whole from 100 on, else three digits; a dash for none."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}".replace("-", "−")
