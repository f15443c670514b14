"""The numbers of figures in words: beside their marks, when one points at them, and as a table for those who read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.results.figures.values import Bar, Bars, Contrast, Curves, Dot, Forest


def bar_words(figure: Bars, bar: Bar) -> str:
    """Return `97.5 ★ a [87.1, 99.6]`."""
    parts = (_number(figure.decimals, bar.value), bar.marks, _ends(figure.decimals, bar.low, bar.high))
    return " ".join(part for part in parts if part)


def dot_words(figure: Curves, dot: Dot) -> str:
    """Return `100 training rows: 97.5 [87.1, 99.6]`."""
    ends = _ends(figure.decimals, dot.low, dot.high)
    return f"{dot.x:,.10g} {figure.x_axis}: {_number(figure.decimals, dot.y)} {ends}".rstrip()


def contrast_words(figure: Forest, one: Contrast) -> str:
    """Return `better +77.5 [61.2, 88.9] p <0.001`."""
    sign = "+" if one.difference > 0 else "−" if one.difference < 0 else ""
    size = f"{sign}{_number(figure.decimals, abs(one.difference))}"
    return f"{one.verdict} {size} {_ends(figure.decimals, one.low, one.high)} {p_words(one.p)}"


def p_words(p: float) -> str:
    """Return `p = 0.031`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def summary(figure: Bars | Curves | Forest) -> str:
    """Return in a sentence what is drawn, for those who do not see it."""
    from broker.results.figures.values import Bars, Curves

    if isinstance(figure, Bars):
        return f"{len(figure.bars)} models: " + "; ".join(
            f"{bar.label} {bar_words(figure, bar)}" for bar in figure.bars[:12]
        )
    if isinstance(figure, Curves):
        lines = sum(len(panel.lines) for panel in figure.panels)
        return f"{lines} lines in {len(figure.panels)} panels: {figure.y_axis} over {figure.x_axis}"
    told = (f"{one.label} against {one.against}: {contrast_words(figure, one)}" for one in figure.contrasts[:12])
    return f"{len(figure.contrasts)} comparisons: " + "; ".join(told)


def numbers(figure: Bars | Curves | Forest) -> tuple[list[str], list[list[str]]]:
    """Return a figure as (heads, rows) of a table."""
    from broker.results.figures.values import Bars, Curves

    places = figure.decimals
    if isinstance(figure, Bars):
        rows = [
            [bar.label, _number(places, bar.value), _ends(places, bar.low, bar.high), bar.marks] for bar in figure.bars
        ]
        return ["model", figure.axis, "95 % interval", "marks"], rows
    if isinstance(figure, Curves):
        cells = [
            [panel.title, line.label, f"{dot.x:,.10g}", _number(places, dot.y), _ends(places, dot.low, dot.high)]
            for panel in figure.panels
            for line in panel.lines
            for dot in line.dots
        ]
        return ["panel", "line", figure.x_axis, figure.y_axis, "95 % interval"], cells
    rows = [
        [
            one.label,
            one.against,
            _number(places, one.difference),
            _ends(places, one.low, one.high),
            p_words(one.p),
            one.verdict,
        ]
        for one in figure.contrasts
    ]
    return ["model", "against", figure.axis, "95 % interval", "p after Holm", "verdict"], rows


def _number(places: int, value: float) -> str:
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def _ends(places: int, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{_number(places, low)}, {_number(places, high)}]"
