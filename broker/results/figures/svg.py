"""Figures as SVG, by hand: crisp, escaped, told to those who do not see them, in the colours of the page around."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from broker.results.figures import axes
from broker.results.figures.canvas import LINE, MARGIN, Canvas, cut, scale, text_width, tick_text, wrapped
from broker.results.figures.palette import PAGE, Palette
from broker.results.figures.values import Bar, Bars, Contrast, Curves, Forest, Line, Panel
from broker.results.figures.words import bar_words, contrast_words, dot_words, p_words, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Drawn = Bars | Curves | Forest
# Below this width names stand above what they name, and panels one above another.
_NARROW = 560
_SMALL = 11.0
_TALL, _FLAT, _TWO_LINES, _TALLEST = 40.0, 26.0, 35.0, 56.0
_GROUP = 26.0
_PANEL_HEIGHT = 230.0


def to_svg(figure: Drawn, width: float = 880, *, palette: Palette = PAGE, alone: bool = False, name: str = "") -> str:
    """Return a figure as an `svg` element.

    Args:
        figure: What to draw.
        width: In pixels; below 560 it is laid out for a telephone.
        palette: Its colours; by default those that the page's style sheet names.
        alone: A file of its own, with title, background and size.
        name: For ids, unique on a page; made from the figure's own when empty.
    """
    canvas = Canvas(palette)
    room = width - 2 * MARGIN if alone else width
    top = _headed(canvas, figure, room) if alone else 4.0
    draw = {Bars: _bars, Curves: _curves, Forest: _forest}[type(figure)]
    height = draw(canvas, figure, room, top)  # type: ignore[operator]  # each takes the type that it stands under
    if alone:
        height = _footed(canvas, figure, room, height)
    return canvas.svg(
        width, ceil(height), name=name or figure.name, title=figure.title, told=summary(figure), alone=alone
    )


def _headed(canvas: Canvas, figure: Drawn, width: float) -> float:
    lines = wrapped(figure.title, width / 1.1, 2, 15)
    for i, line in enumerate(lines):
        canvas.text(0, 26 + i * 19, line, size=15, bold=True)
    return 26 + len(lines) * 19


def _footed(canvas: Canvas, figure: Drawn, width: float, height: float) -> float:
    lines = wrapped(figure.note, width, 4, _SMALL)
    for i, line in enumerate(lines):
        canvas.text(0, height + 14 + i * LINE, line, size=_SMALL, colour=canvas.palette.muted)
    return height + 20 + len(lines) * LINE


def _bars(canvas: Canvas, figure: Bars, width: float, top: float) -> float:
    narrow = width < _NARROW
    values = [bar_words(figure, bar) for bar in figure.bars]
    right = 12.0 if narrow else _widest(values) + 14
    left = 8.0 if narrow else min(0.36 * width, _widest([bar.label for bar in figure.bars]) + 12)
    ticks = axes.bar_ticks(figure)
    place = scale(ticks[0], ticks[-1], left, width - right)
    groups = _starts([bar.group for bar in figure.bars])
    long = any(text_width(bar.label, bold=True) > left - 12 for bar in figure.bars)
    step = _TALL if narrow else _TWO_LINES if long else _FLAT
    bottom = top + step * len(figure.bars) + _GROUP * len(groups)
    _grid(canvas, [(tick, place(tick)) for tick in ticks], top, bottom)
    y = top
    for i, (bar, words) in enumerate(zip(figure.bars, values, strict=True)):
        if i in groups:
            canvas.text(4 if narrow else 0, y + 17, cut(groups[i], width / 1.1 - 8), bold=True)
            y += _GROUP
        middle = y + (step - 11 if narrow else step / 2)
        _bar(canvas, figure, bar, place, middle)
        colour = canvas.palette.ink if bar.best else canvas.palette.muted
        if narrow:
            room = width - 22 - text_width(words, bold=bar.best)
            canvas.text(8, y + 14, cut(bar.label, room, bold=bar.best), bold=bar.best)
            canvas.text(width - 6, y + 14, words, anchor="end", colour=colour, bold=bar.best)
        else:
            _beside(canvas, bar, left - 10, middle)
            canvas.text(width - right + 12, middle + 4, words, colour=colour, bold=bar.best)
        y += step
    canvas.text(
        width - right, bottom + 32, cut(figure.axis, width - 20), anchor="end", colour=canvas.palette.muted, size=_SMALL
    )
    return bottom + 38


def _beside(canvas: Canvas, bar: Bar, x: float, middle: float) -> None:
    """Write a model's name to the left of its bar, in two lines if need be."""
    lines = wrapped(bar.label, x / (1.1 if bar.best else 1.0), 2)
    for i, words in enumerate(lines):
        y = middle + 4 + (i - (len(lines) - 1) / 2) * (LINE - 1)
        canvas.text(x, y, words, anchor="end", bold=bar.best)


def _widest(texts: Sequence[str], *, bold: bool = True) -> float:
    return max(text_width(text, bold=bold) for text in texts)


def _bar(canvas: Canvas, figure: Bars, bar: Bar, place: Callable[[float], float], middle: float) -> None:
    zero, end = place(0.0), place(bar.value)
    colour = canvas.palette.base if bar.base else canvas.palette.accent
    told = f"{bar.label}: {bar_words(figure, bar)}"
    canvas.box(min(zero, end), middle - 6, abs(end - zero), 12, colour, title=told, corner=2)
    if bar.low is not None and bar.high is not None:
        canvas.whisker(place(bar.low), middle, place(bar.high), middle, canvas.palette.ink)


def _grid(canvas: Canvas, ticks: Sequence[tuple[float, float]], top: float, bottom: float) -> None:
    shown = dict(axes.spaced([tick for tick, _ in ticks], [x for _, x in ticks], _SMALL))
    for tick, x in ticks:
        canvas.line(x, top, x, bottom + 3, canvas.palette.grid)
        if tick in shown:
            anchor = "middle"
            canvas.text(x, bottom + 17, tick_text(tick), anchor=anchor, colour=canvas.palette.muted, size=_SMALL)


def _starts(groups: Sequence[str]) -> dict[int, str]:
    """Return where a new head begins."""
    return {i: group for i, group in enumerate(groups) if group and (i == 0 or groups[i - 1] != group)}


def _curves(canvas: Canvas, figure: Curves, width: float, top: float) -> float:
    narrow = width < _NARROW
    top = _legend(canvas, figure, width, top)
    columns = 1 if narrow else 1 + max(panel.column for panel in figure.panels)
    left, gap = 46.0, 18.0
    room = (width - left - 10 - gap * (columns - 1)) / columns
    tall = 300.0 if len(figure.panels) == 1 and not narrow else _PANEL_HEIGHT
    for i, panel in enumerate(figure.panels):
        column, row = (0, i) if narrow else (panel.column, panel.row)
        x, y = left + column * (room + gap), top + row * tall
        titled = 22.0 if panel.title else 8.0
        _panel(canvas, figure, panel, (x, y + titled, x + room, y + tall - 40), numbered=column == 0)
    rows = len(figure.panels) if narrow else 1 + max(panel.row for panel in figure.panels)
    bottom = top + rows * tall
    canvas.text(width - 10, bottom - 4, figure.x_axis, anchor="end", colour=canvas.palette.muted, size=_SMALL)
    return bottom + 2


def _legend(canvas: Canvas, figure: Curves, width: float, top: float) -> float:
    """Draw which line is which; return where the panels begin."""
    lines = {line.label: line for panel in figure.panels for line in panel.lines if not line.faint}
    x, y = 4.0, top + 12
    canvas.text(x, y, cut(figure.y_axis, width - 8, _SMALL), colour=canvas.palette.muted, size=_SMALL)
    y += 19
    ordered = sorted(lines.values(), key=lambda line: line.hue)
    if len(ordered) == 1 and len(figure.panels) == 1:
        return y - 8
    for line in ordered:
        label = cut(line.label, width - 44)
        needed = 34 + text_width(label) + 16
        if x + needed > width and x > 4:
            x, y = 4.0, y + 18
        canvas.path([(x, y - 4), (x + 26, y - 4)], line.hue)
        if figure.sizes:
            canvas.mark(x + 13, y - 4, canvas.hue(line.hue), shape=line.hue)
        canvas.text(x + 33, y, label)
        x += needed
    return y + 12


def _panel(
    canvas: Canvas, figure: Curves, panel: Panel, frame: tuple[float, float, float, float], *, numbered: bool
) -> None:
    left, top, right, bottom = frame
    ticks = axes.curve_ticks(figure)
    up = scale(ticks[0], ticks[-1], bottom, top)
    if panel.title:
        canvas.text(left, top - 9, cut(panel.title, right - left), bold=True)
    for tick in ticks:
        canvas.line(left, up(tick), right, up(tick), canvas.palette.grid)
        if numbered:
            canvas.text(left - 7, up(tick) + 4, tick_text(tick), anchor="end", colour=canvas.palette.muted, size=_SMALL)
    along, marks = _across(figure, left + 8, right - 8)
    canvas.line(left, bottom, right, bottom, canvas.palette.muted)
    for tick, x in axes.spaced(marks, [along(tick) for tick in marks], _SMALL):
        canvas.line(x, bottom, x, bottom + 4, canvas.palette.muted)
        canvas.text(x, bottom + 17, tick_text(tick), anchor="middle", colour=canvas.palette.muted, size=_SMALL)
    for i, line in enumerate(panel.lines):
        # Lines that lie upon each other are set apart by a little.
        shift = (i - (len(panel.lines) - 1) / 2) * 3 if figure.sizes else 0.0
        _line(canvas, figure, line, (along, up), shift)


def _across(figure: Curves, start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    if not figure.sizes:
        marks = axes.step_ticks(figure)
        return scale(0.0, marks[-1], start, end), marks
    smallest = figure.sizes[1]
    place = scale(0.0, axes.size_place(figure.sizes[-1], smallest), start, end)
    return lambda x: place(axes.size_place(x, smallest)), list(figure.sizes)


def _line(
    canvas: Canvas,
    figure: Curves,
    line: Line,
    places: tuple[Callable[[float], float], Callable[[float], float]],
    shift: float,
) -> None:
    along, up = places
    colour, course = canvas.hue(line.hue), line.course
    if len(course) > 1:
        canvas.path([(along(x) + shift, up(y)) for x, y in course], line.hue, faint=line.faint)
    for dot in line.dots:
        x, y = along(dot.x) + shift, up(dot.y)
        if dot.low is not None and dot.high is not None:
            canvas.whisker(x, up(dot.low), x, up(dot.high), colour, width=1)
        if figure.sizes or len(course) == 1:
            canvas.mark(x, y, colour, shape=line.hue, title=f"{line.label}, {dot_words(figure, dot)}")


def _forest(canvas: Canvas, figure: Forest, width: float, top: float) -> float:
    narrow = width < _NARROW
    words = [contrast_words(figure, one) for one in figure.contrasts]
    right = 14.0 if narrow else _widest(words, bold=False) + 16
    left = 10.0 if narrow else min(0.36 * width, _widest([_pair(one) for one in figure.contrasts]) + 12)
    ticks = axes.forest_ticks(figure)
    place = scale(ticks[0], ticks[-1], left, width - right)
    groups = _starts([one.group for one in figure.contrasts])
    steps = [
        (_TALL if one.shared else _TALLEST) if narrow else _FLAT if one.shared else _TALL for one in figure.contrasts
    ]
    bottom = top + sum(steps) + _GROUP * len(groups)
    if figure.zone:
        canvas.box(
            place(-figure.zone), top, place(figure.zone) - place(-figure.zone), bottom - top, canvas.palette.zone
        )
    _grid(canvas, [(tick, place(tick)) for tick in ticks], top, bottom)
    canvas.line(place(0), top, place(0), bottom, canvas.palette.muted)
    y = top
    for i, (one, step) in enumerate(zip(figure.contrasts, steps, strict=True)):
        if i in groups:
            canvas.text(4 if narrow else 0, y + 17, cut(groups[i], width / 1.1 - 8), bold=True)
            y += _GROUP
        middle = y + (step - 9 if narrow else step / 2)
        _contrast(canvas, figure, one, place, middle)
        if narrow:
            _above(canvas, one, y, width)
        else:
            _aside(canvas, one, left, middle)
            canvas.text(width - right + 12, middle + 4, words[i], colour=_verdict_colour(canvas.palette, one))
        y += step
    _better(canvas, figure, (left, width - right), bottom + 32)
    return bottom + 38


def _above(canvas: Canvas, one: Contrast, y: float, width: float) -> None:
    """Write the two models and p above their difference."""
    canvas.text(8, y + 14, cut(one.label, width - 24 - text_width(p_words(one.p))))
    canvas.text(width - 6, y + 14, p_words(one.p), anchor="end", colour=canvas.palette.muted)
    if not one.shared:
        canvas.text(8, y + 29, cut(f"− {one.against}", width - 14), colour=canvas.palette.muted)


def _aside(canvas: Canvas, one: Contrast, left: float, middle: float) -> None:
    """Write the two models to the left of their difference."""
    label = cut(one.label, left - 14)
    if one.shared:
        canvas.text(left - 10, middle + 4, label, anchor="end")
        return
    canvas.text(left - 10, middle - 3, label, anchor="end")
    canvas.text(left - 10, middle + 12, cut(f"− {one.against}", left - 14), anchor="end", colour=canvas.palette.muted)


def _pair(one: Contrast) -> str:
    return one.label if one.shared else max(one.label, f"− {one.against}", key=text_width)


def _contrast(canvas: Canvas, figure: Forest, one: Contrast, place: Callable[[float], float], middle: float) -> None:
    colour = _verdict_colour(canvas.palette, one)
    told = f"{one.label} − {one.against}: {contrast_words(figure, one)}"
    canvas.whisker(place(one.low), middle, place(one.high), middle, colour)
    canvas.mark(place(one.difference), middle, colour, hollow=one.verdict == "tie", title=told)


def _verdict_colour(palette: Palette, one: Contrast) -> str:
    return {"better": palette.good, "worse": palette.bad, "tie": palette.muted}.get(one.verdict, palette.ink)


def _better(canvas: Canvas, figure: Forest, ends: tuple[float, float], y: float) -> None:
    left, right = ends
    muted = canvas.palette.muted
    if figure.better != "left":
        words = f"{figure.axis}; better →" if figure.better else figure.axis
        canvas.text(right, y, words, anchor="end", colour=muted, size=_SMALL)
    else:
        canvas.text(left, y, f"← better; {figure.axis}", colour=muted, size=_SMALL)
