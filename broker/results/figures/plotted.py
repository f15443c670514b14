"""Figures as PNG or PDF, by matplotlib: for papers, slides and places that show no SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError
from broker.results.figures import axes as limits
from broker.results.figures.canvas import tick_text, wrapped
from broker.results.figures.palette import LIGHT, Palette
from broker.results.figures.values import Bars, Curves, Forest, Line, Panel
from broker.results.figures.words import bar_words, contrast_words

if TYPE_CHECKING:
    from pathlib import Path

    from broker.results.figures.svg import Drawn

# matplotlib's own types leave its keyword arguments open, which a strict checker refuses.
Plot = Any
Axes = Any

_DPI = 100  # so that `width` is in the pixels of the SVG
_SHARP = 2  # a PNG has twice as many
_SHAPES = ("o", "s", "D", "^")
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 2)))
_ROW, _PANEL = 0.30, 2.5
_LABEL = 46
_TITLE, _LEGEND, _NOTE = 0.42, 0.24, 0.3
_ABREAST = 3


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
        from matplotlib.figure import Figure
    except ImportError as error:
        fix = "pip install 'finetune-broker[plots]', or ask for .svg, which needs nothing"
        raise MissingExtraError(f"{path.suffix} is drawn by matplotlib, which is not installed", fix=fix) from error
    height = _height(figure)
    plot: Plot = Figure(figsize=(width / _DPI, height), dpi=_DPI, facecolor=palette.surface)
    # Above and beneath the axes there is room for the title, the legend and the note, in inches.
    top, bottom = _TITLE + _LEGEND * _legend_rows(figure), _NOTE
    plot.set_layout_engine("constrained", rect=(0, bottom / height, 1, 1 - (top + bottom) / height))
    if isinstance(figure, Bars):
        _bars(plot, figure, palette)
    elif isinstance(figure, Curves):
        _curves(plot, figure, palette)
    else:
        _forest(plot, figure, palette)
    plot.text(0.01, 1 - 0.27 / height, figure.title, fontsize=12, fontweight="bold", color=palette.ink)
    plot.text(0.01, 0.1 / height, figure.note, fontsize=8, color=palette.muted)
    plot.savefig(path, dpi=_DPI * _SHARP, facecolor=palette.surface)


def _height(figure: Drawn) -> float:
    """Return inches."""
    if isinstance(figure, Bars):
        return 1.35 + _ROW * len(figure.bars)
    if isinstance(figure, Forest):
        return 1.35 + _ROW * 1.25 * len(figure.contrasts)
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


def _label(text: str) -> str:
    return "\n".join(wrapped(text, _LABEL * 7.5, 2))


def _bars(plot: Plot, figure: Bars, palette: Palette) -> None:
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
    _named(ax, [_label(bar.label) for bar in figure.bars], palette)
    ax.set_xlabel(figure.axis, fontsize=9, color=palette.muted, loc="right")


def _curves(plot: Plot, figure: Curves, palette: Palette) -> None:
    rows, columns = (1 + max(getattr(panel, way) for panel in figure.panels) for way in ("row", "column"))
    ticks = limits.curve_ticks(figure)
    named: dict[str, Line] = {}
    for panel in figure.panels:
        ax = plot.add_subplot(rows, columns, panel.row * columns + panel.column + 1)
        _plain(ax, palette, grid="y")
        ax.set_yticks(ticks, labels=[tick_text(tick) if panel.column == 0 else "" for tick in ticks])
        ax.set_ylim(ticks[0], ticks[-1])
        _panel(ax, figure, panel, palette)
        named.update({line.label: line for line in panel.lines if not line.faint})
        if panel.column == 0:
            ax.set_ylabel(figure.y_axis, fontsize=8, color=palette.muted)
        if panel.row == rows - 1:
            ax.set_xlabel(figure.x_axis, fontsize=9, color=palette.muted, loc="right")
    _legend(plot, figure, list(named.values()), palette)


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


def _legend(plot: Plot, figure: Curves, lines: list[Line], palette: Palette) -> None:
    if len(lines) < 2:
        return
    from matplotlib.lines import Line2D

    ordered = sorted(lines, key=lambda line: line.hue)
    handles = [Line2D([], [], label=line.label, **_style(line, figure, palette)) for line in ordered]
    place = (0.005, 1 - (_TITLE - 0.05) / plot.get_figheight())
    plot.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=_ABREAST,
        fontsize=8,
        frameon=False,
        labelcolor=palette.ink,
    )


def _forest(plot: Plot, figure: Forest, palette: Palette) -> None:
    ax = plot.add_subplot()
    _plain(ax, palette, grid="x")
    ticks = limits.forest_ticks(figure)
    ax.set_xticks(ticks, labels=[tick_text(tick) for tick in ticks])
    ax.set_xlim(ticks[0], ticks[-1])
    if figure.zone:
        ax.axvspan(-figure.zone, figure.zone, color=palette.zone, zorder=0)
    ax.axvline(0, color=palette.muted, linewidth=1)
    for i, one in enumerate(figure.contrasts):
        colour = {"better": palette.good, "worse": palette.bad, "tie": palette.muted}.get(one.verdict, palette.ink)
        ax.errorbar(
            one.difference,
            i,
            xerr=[[max(0.0, one.difference - one.low)], [max(0.0, one.high - one.difference)]],
            color=colour,
            capsize=3,
            linewidth=1.4,
            marker="o",
            markerfacecolor=palette.surface if one.verdict == "tie" else colour,
        )
        ax.annotate(
            contrast_words(figure, one),
            (1.015, i),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=colour,
        )
    _named(ax, [f"{one.label}\n− {one.against}" for one in figure.contrasts], palette)
    ax.tick_params(axis="y", labelsize=8)
    better = {"right": "; better →", "left": "; better ←", "": ""}[figure.better]
    ax.set_xlabel(figure.axis + better, fontsize=9, color=palette.muted, loc="right")
