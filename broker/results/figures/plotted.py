"""Figures as PNG or PDF, by matplotlib: for papers, slides and places that show no SVG."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError
from broker.results.figures import axes as limits
from broker.results.figures.canvas import cut, tick_text, wrapped
from broker.results.figures.palette import LIGHT, Palette
from broker.results.figures.values import Bars, Contrast, Curves, Forest, Line, Panel
from broker.results.figures.words import bar_words, contrast_words, p_words

if TYPE_CHECKING:
    from pathlib import Path

    from broker.results.figures.svg import Drawn

# matplotlib's own types leave its keyword arguments open, which a strict checker refuses.
Plot = Any
Axes = Any

_DPI = 100  # so that `width` is in the pixels of the SVG
_POINT = _DPI / 72  # pixels
_SHARP = 2  # a PNG has twice as many
_SHAPES = ("o", "s", "D", "^")
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 2)))
_ROW, _PANEL = 0.30, 2.5
_TITLE, _LEGEND, _NOTE, _LINE = 0.42, 0.24, 0.3, 0.2
_ABREAST = 3
# Pixels of a legend's stroke with its gaps, and the share of the width that names at the side may take.
_KEY = 58
_SIDE = 0.3
# Narrower figures are drawn with this width and made smaller: names, plot and numbers have no room beside each other.
_LEAST = 500
# Narrower figures say only p beside a difference.
_NARROW = 700
# The first one draws; the others help out with what it lacks, where they are installed.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Yu Gothic",
    "Microsoft YaHei", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans", "Arial Unicode MS", "Segoe UI Emoji",
)  # fmt: skip


def save(figure: Drawn, path: Path, width: float = 960, *, palette: Palette = LIGHT) -> None:
    """Draw a figure into a file whose ending says the format: `.png`, `.pdf`, `.svg`.

    Args:
        figure: What to draw.
        path: Where to.
        width: In pixels.
        palette: Its colours.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        mpl: Any = import_module("matplotlib")
        fonts: Any = import_module("matplotlib.font_manager")
    except ImportError as error:
        fix = "pip install 'finetune-broker[plots]', or ask for .svg, which needs nothing"
        raise MissingExtraError(f"{path.suffix} is drawn by matplotlib, which is not installed", fix=fix) from error
    installed: list[str] = fonts.get_font_names()
    families = [name for name in _FONTS if name in installed]
    with mpl.rc_context({"font.family": families}), warnings.catch_warnings():
        # What no installed font can draw is drawn as a box; whoever looks sees it.
        warnings.filterwarnings("ignore", message="Glyph")
        drawn = max(width, _LEAST)
        dpi = _DPI * _SHARP * width / drawn
        plotted(figure, drawn, palette).savefig(path, dpi=dpi, facecolor=palette.surface)


def plotted(figure: Drawn, width: float, palette: Palette = LIGHT) -> Plot:
    """Return a figure as matplotlib's.

    Args:
        figure: What to draw.
        width: In pixels.
        palette: Its colours.
    """
    from matplotlib.figure import Figure

    titles = wrapped(figure.title, 0.98 * width / 1.1, 3, _POINT * 12)
    notes = wrapped(figure.note, 0.98 * width, 4, _POINT * 8)
    more = _LINE * (len(titles) + len(notes) - 2)
    height = _height(figure) + more
    plot: Plot = Figure(figsize=(width / _DPI, height), dpi=_DPI, facecolor=palette.surface)
    # Above and beneath the axes there is room for the title, the legend and the note, in inches.
    top = _TITLE + _LINE * (len(titles) - 1) + _LEGEND * _legend_rows(figure)
    bottom = _NOTE + _LINE * (len(notes) - 1)
    plot.set_layout_engine("constrained", rect=(0, bottom / height, 1, 1 - (top + bottom) / height))
    if isinstance(figure, Bars):
        _bars(plot, figure, palette, width)
    elif isinstance(figure, Curves):
        _curves(plot, figure, palette)
    else:
        _forest(plot, figure, palette, width)
    head = {"fontsize": 12, "fontweight": "bold", "color": palette.ink, "va": "top"}
    plot.text(0.01, 1 - 0.1 / height, "\n".join(titles), **head)
    plot.text(0.01, 0.1 / height, "\n".join(notes), fontsize=8, color=palette.muted)
    if isinstance(figure, Curves):
        _legend(plot, figure, palette, width, above=top - _LEGEND * _legend_rows(figure))
    return plot


def _height(figure: Drawn) -> float:
    """Return inches."""
    if isinstance(figure, Bars):
        return 1.35 + _ROW * len(figure.bars)
    if isinstance(figure, Forest):
        return 1.35 + sum(
            _ROW * (0.9 if isinstance(line, str) or line.shared else 1.25) for line in _forest_lines(figure)
        )
    rows = 1 + max(panel.row for panel in figure.panels)
    return 0.8 + _LEGEND * _legend_rows(figure) + (_PANEL if rows > 1 else 3.2) * rows


def _legend_rows(figure: Drawn) -> int:
    """Return how many lines the legend has."""
    if not isinstance(figure, Curves):
        return 0
    labels = {line.label for panel in figure.panels for line in panel.lines if not line.faint}
    return -(-len(labels) // _ABREAST) if len(labels) > 1 else 0


def _plain(ax: Axes, palette: Palette, *, grid: str) -> None:
    ax.set_facecolor(palette.surface)
    ax.tick_params(colors=palette.muted, labelsize=9, length=3)
    ax.grid(visible=True, axis="x" if grid == "x" else "y", color=palette.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom" and grid == "y")
        spine.set_color(palette.muted)


def _named(ax: Axes, labels: list[str], palette: Palette) -> None:
    ax.set_yticks(range(len(labels)), labels=labels)
    ax.tick_params(axis="y", length=0, labelcolor=palette.ink)
    ax.set_ylim(len(labels) - 0.5, -0.5)


def _bars(plot: Plot, figure: Bars, palette: Palette, width: float) -> None:
    ax = plot.add_subplot()
    _plain(ax, palette, grid="x")
    ticks = limits.bar_ticks(figure)
    ax.set_xticks(ticks, labels=[tick_text(tick) for tick in ticks])
    ax.set_xlim(ticks[0], ticks[-1])
    for i, bar in enumerate(figure.bars):
        ax.barh(i, bar.value, height=0.5, color=palette.base if bar.base else palette.accent)
        if bar.low is not None and bar.high is not None:
            ends = [[max(0.0, bar.value - bar.low)], [max(0.0, bar.high - bar.value)]]
            ax.errorbar(bar.value, i, xerr=ends, color=palette.ink, capsize=3, linewidth=1.2, clip_on=False)
        colour, weight = (palette.ink, "bold") if bar.best else (palette.muted, "normal")
        ax.annotate(
            bar_words(figure, bar),
            (1.015, i),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=colour,
            fontweight=weight,
        )
    _named(ax, ["\n".join(wrapped(bar.label, _SIDE * width, 2)) for bar in figure.bars], palette)
    ax.set_xlabel(figure.axis, fontsize=9, color=palette.muted, loc="right")


def _curves(plot: Plot, figure: Curves, palette: Palette) -> None:
    rows, columns = (1 + max(getattr(panel, way) for panel in figure.panels) for way in ("row", "column"))
    ticks = limits.curve_ticks(figure)
    for panel in figure.panels:
        ax = plot.add_subplot(rows, columns, panel.row * columns + panel.column + 1)
        _plain(ax, palette, grid="y")
        ax.set_yticks(ticks, labels=[tick_text(tick) if panel.column == 0 else "" for tick in ticks])
        ax.set_ylim(ticks[0], ticks[-1])
        _panel(ax, figure, panel, palette)
        if panel.column == 0:
            ax.set_ylabel(figure.y_axis, fontsize=8, color=palette.muted)
        if panel.row == rows - 1:
            ax.set_xlabel(figure.x_axis, fontsize=9, color=palette.muted, loc="right")


def _panel(ax: Axes, figure: Curves, panel: Panel, palette: Palette) -> None:
    ax.set_title(panel.title, fontsize=10, loc="left", color=palette.ink, fontweight="bold")
    if figure.sizes:
        smallest = figure.sizes[1]
        places = [limits.size_place(size, smallest) for size in figure.sizes]
        ax.set_xticks(places, labels=[tick_text(size) for size in figure.sizes])
    else:
        steps = limits.step_ticks(figure)
        ax.set_xticks(steps, labels=[tick_text(step) for step in steps])

    def along(x: float) -> float:
        return limits.size_place(x, figure.sizes[1]) if figure.sizes else x

    for line in panel.lines:
        style = _style(line, figure, palette)
        course = line.course
        ax.plot([along(x) for x, _ in course], [y for _, y in course], **{**style, "marker": None})
        ax.plot([along(dot.x) for dot in line.dots], [dot.y for dot in line.dots], **{**style, "linestyle": ""})
        for x, dot in zip((along(dot.x) for dot in line.dots), line.dots, strict=True):
            if dot.low is not None and dot.high is not None:
                ax.plot([x, x], [dot.low, dot.high], color=style["color"], linewidth=1, alpha=0.7, clip_on=False)


def _style(line: Line, figure: Curves, palette: Palette) -> dict[str, Any]:
    hues = len(palette.hues)
    return {
        "color": palette.hues[line.hue % hues],
        "linestyle": ":" if line.faint else _STYLES[line.hue // hues % len(_STYLES)],
        "linewidth": 1.2 if line.faint else 1.8,
        "marker": _SHAPES[line.hue % len(_SHAPES)] if figure.sizes or len(line.dots) == 1 else None,
        "markersize": 5,
        "clip_on": False,
    }


def _legend(plot: Plot, figure: Curves, palette: Palette, width: float, *, above: float) -> None:
    lines = {line.label: line for panel in figure.panels for line in panel.lines if not line.faint}
    if len(lines) < 2:
        return
    from matplotlib.lines import Line2D

    ordered = sorted(lines.values(), key=lambda line: line.hue)
    room = width / min(_ABREAST, len(lines)) - _KEY
    handles = [Line2D([], [], label=cut(line.label, room), **_style(line, figure, palette)) for line in ordered]
    place = (0.005, 1 - (above - 0.05) / plot.get_figheight())
    plot.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=_ABREAST,
        fontsize=8,
        frameon=False,
        labelcolor=palette.ink,
    )


def _forest(plot: Plot, figure: Forest, palette: Palette, width: float) -> None:
    ax = plot.add_subplot()
    _plain(ax, palette, grid="x")
    ticks = limits.forest_ticks(figure)
    ax.set_xticks(ticks, labels=[tick_text(tick) for tick in ticks])
    ax.set_xlim(ticks[0], ticks[-1])
    if figure.zone:
        ax.axvspan(-figure.zone, figure.zone, color=palette.zone, zorder=0)
    ax.axvline(0, color=palette.muted, linewidth=1)
    lines = _forest_lines(figure)
    labels: list[str] = []
    for i, line in enumerate(lines):
        if isinstance(line, str):
            labels.append(cut(line, _SIDE * width, bold=True))
            continue
        _contrast(ax, figure, line, i, palette, narrow=width < _NARROW)
        names = [line.label] if line.shared else [line.label, f"− {line.against}"]
        labels.append("\n".join(cut(name, _SIDE * width) for name in names))
    _named(ax, labels, palette)
    ax.tick_params(axis="y", labelsize=8)
    for line, label in zip(lines, ax.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
    better = {"right": "; better →", "left": "; better ←", "": ""}[figure.better]
    ax.set_xlabel(figure.axis + better, fontsize=9, color=palette.muted, loc="right")


def _forest_lines(figure: Forest) -> list[Contrast | str]:
    """Return the contrasts, each group beneath its head."""
    lines: list[Contrast | str] = []
    for i, one in enumerate(figure.contrasts):
        if one.group and (i == 0 or figure.contrasts[i - 1].group != one.group):
            lines.append(one.group)
        lines.append(one)
    return lines


def _contrast(ax: Axes, figure: Forest, one: Contrast, place: int, palette: Palette, *, narrow: bool) -> None:
    colour = {"better": palette.good, "worse": palette.bad, "tie": palette.muted}.get(one.verdict, palette.ink)
    ax.errorbar(
        one.difference,
        place,
        xerr=[[max(0.0, one.difference - one.low)], [max(0.0, one.high - one.difference)]],
        color=colour,
        capsize=3,
        linewidth=1.4,
        marker="o",
        markersize=5,
        markerfacecolor=palette.surface if one.verdict == "tie" else colour,
    )
    ax.annotate(
        p_words(one.p) if narrow else contrast_words(figure, one),
        (1.015, place),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
        color=colour,
    )
