"""`broker plot`: the figures of an experiment as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.output import OUT
from broker.cli.results import Filter, Sort, arrangement, file_name, read_report, write_text
from broker.errors import EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.results import Report
    from broker.results.figures import Figure

PLOT_HELP = """Figures of an experiment as PNG, SVG or PDF.

bars: every model with its interval. size, similarity: a metric over the size of the training set, a line for each
setting. loss: of the tuning jobs. forest: differences on the same prompts with their intervals.

[bold]Examples[/bold]

  broker plot tone --figure bars --output bars.png

  broker plot tone --figure forest --metric flesch --dark --output flesch.svg

  broker plot tone --all --output figures/ --format pdf

SVG needs nothing; PNG and PDF need matplotlib: pip install 'finetune-broker\\[plots]'.
"""
_DRAWN = (".png", ".pdf", ".svg")


class FigureName(StrEnum):
    """The figures."""

    BARS = "bars"
    SIZE = "size"
    SIMILARITY = "similarity"
    LOSS = "loss"
    FOREST = "forest"


class Format(StrEnum):
    """How files are written with `--all`."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=PLOT_HELP, rich_help_panel="Results")(plot)


def plot(
    experiment: Annotated[str | None, typer.Argument(help="Name of the experiment; the newest when not given.")] = None,
    figure: Annotated[FigureName | None, typer.Option(help="Which figure.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File (.png, .svg, .pdf); with --all a folder.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Metric of bars, size and forest.", show_default="conversational, else the first")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Every figure that can be drawn.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="Of the files that --all writes.")] = Format.PNG,
    dark: Annotated[bool, typer.Option("--dark", help="Light on dark.")] = False,
    width: Annotated[int, typer.Option(min=300, max=4000, help="Pixels.")] = 960,
    sort: Sort = "",
    filter_: Filter = None,
) -> int:
    """Draw figures into files."""
    if every == (figure is not None):
        names = ", ".join(FigureName)
        raise UserError("which figure?", where="--figure, --all", fix=f"--figure {names.replace(', ', '|')}, or --all")
    report = read_report(experiment, arrangement(sort, filter_, "", ""), answers=0)
    _check_metric(report, metric)
    if figure is not None:
        path = output or Path(f"{file_name(report.table.experiment)}-{figure}.png")
        drawn = report.figure(figure, metric or None)
        _refuse_absent(drawn)
        _draw(drawn, path, width=width, dark=dark)
        written, missing = [path], list[dict[str, str]]()
    else:
        folder = output or Path(f"{file_name(report.table.experiment)}-figures")
        written, missing = _draw_all(report, folder, metric, format_, width=width, dark=dark)
    _tell(written, missing)
    return EXIT_OK


def _check_metric(report: Report, metric: str) -> None:
    from broker.results.fields import unknown_field

    names = [column.name for column in report.table.columns]
    if metric and metric not in names:
        problem = unknown_field(report.table, metric, "--metric", among=names)
        raise UserError(problem.what, where=problem.where, fix=problem.fix)


def _refuse_absent(figure: Figure) -> None:
    from broker.results.figures import Absent

    if isinstance(figure, Absent):
        raise UserError(f"{figure.title}: {figure.reason}", where=f"--figure {figure.name}", fix="take another figure")


def _draw_all(
    report: Report, folder: Path, metric: str, format_: Format, *, width: int, dark: bool
) -> tuple[list[Path], list[dict[str, str]]]:
    """Draw what can be drawn; return the files, and why the others are missing."""
    from broker.results.figures import Absent

    written: list[Path] = []
    missing: list[dict[str, str]] = []
    for name in FigureName:
        figure = report.figure(name, metric or None)
        if isinstance(figure, Absent):
            missing.append({"figure": name, "reason": figure.reason})
            continue
        _draw(figure, folder / f"{name}.{format_}", width=width, dark=dark)
        written.append(folder / f"{name}.{format_}")
    return written, missing


def _draw(figure: Any, path: Path, *, width: int, dark: bool) -> None:
    """Write one figure: SVG by hand, everything else by matplotlib."""
    from broker.results.figures import DARK, LIGHT, to_svg
    from broker.results.figures.plotted import save

    palette = DARK if dark else LIGHT
    if path.suffix.lower() not in _DRAWN:
        raise UserError(
            f"{path.suffix or 'no ending'} is no format of figures", where=str(path), fix="end it in .png, .svg or .pdf"
        )
    if path.suffix.lower() == ".svg":
        write_text(path, to_svg(figure, width, palette=palette, alone=True) + "\n")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path, width, palette=palette)


def _tell(written: list[Path], missing: list[dict[str, str]]) -> None:
    if OUT.json:
        OUT.data({"written": [str(path) for path in written], "missing": missing})
        return
    for path in written:
        OUT.note(f"wrote {path}")
    for one in missing:
        OUT.note(f"no {one['figure']}: {one['reason']}", style="dim")
