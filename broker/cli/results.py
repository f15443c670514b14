"""`broker results`: the table."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.results import Arrangement, Report, ResultsTable

RESULTS_HELP = """The table of an experiment: every model on the same validation set.

[bold]Examples[/bold]

  broker results

  broker results tone --html

  broker results tone --sort conversational --filter precision=int8 --filter "rows>=1000"

  broker results tone --group rank --columns lr,conversational,cost

  broker results tone --breakdown

  broker results tone --markdown > table.md

  broker results tone --csv --output table.csv

  broker results --list

What a filter, an order, a group and a column may be: docs/results.md.
"""

Sort = Annotated[str, typer.Option(metavar="COLUMN[:asc|desc]", help="Order of the rows.", show_default=False)]
Filter = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="EXPR", help="Only these models: precision=int8, rows>=1000, label~tuned."),
]
Group = Annotated[str, typer.Option(metavar="COLUMN", help="Rows under a head each.", show_default=False)]
Columns = Annotated[str, typer.Option(metavar="NAME,…", help="Only these columns.", show_default=False)]


class Form(StrEnum):
    """What is written."""

    TEXT = "text"
    JSON = "--json"
    CSV = "--csv"
    MARKDOWN = "--markdown"
    HTML = "--html"


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=RESULTS_HELP, rich_help_panel="Results")(results)


def results(
    experiment: Annotated[str | None, typer.Argument(help="Name of the experiment; the newest when not given.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    html: Annotated[bool, typer.Option("--html", help="As one page with figures and all answers.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    sort: Sort = "",
    filter_: Filter = None,
    group: Group = "",
    columns: Columns = "",
    answers: Annotated[
        int | None,
        typer.Option(min=0, help="Most prompts on the page: the worst and the most changed.", show_default="200"),
    ] = None,
    breakdown: Annotated[
        bool, typer.Option("--breakdown", help="Beneath the table, the parts of numbers (IFEval); --json has them.")
    ] = False,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Compare every pair of models.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
) -> int:
    """Show the table of an experiment."""
    asked = {Form.CSV: csv, Form.MARKDOWN: markdown, Form.HTML: html, Form.JSON: OUT.json}
    forms = [form for form, wanted in asked.items() if wanted]
    if len(forms) > 1:
        raise UserError("one format at a time", where=", ".join(forms), fix="take one of them")
    if list_:
        return _list()
    wanted = arrangement(sort, filter_, group, columns)
    report = read_report(experiment, wanted, all_pairs=all_pairs, answers=answers if html else 0)
    form = forms[0] if forms else Form.TEXT
    if form is Form.HTML and output is None and sys.stdout.isatty():
        output = page_path(report.table.experiment)
    if output is not None:
        write_text(output, _written(report, form) or _plain(report.table))
        OUT.note(f"wrote {output}")
    elif (text := _written(report, form)) is not None:
        OUT.raw(text)
    else:
        show_table(report.table)
        if breakdown:
            _show_breakdown(report.table)
    return EXIT_OK


def _show_breakdown(table: ResultsTable) -> None:
    from broker.results.breakdown import breakdown_tables

    parts = breakdown_tables(table)
    for part in parts:
        OUT.console.print(part)
    if not parts:
        OUT.note("no number of this table has parts; IFEval's have (--metric ifeval)")


def arrangement(sort: str, filters: Sequence[str] | None, group: str, columns: str) -> Arrangement:
    """Return what was asked for on the line."""
    from broker.results import Arrangement

    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    return Arrangement(sort=sort, filters=tuple(filters or ()), group=group, columns=names)


def read_report(
    experiment: str | None, wanted: Arrangement, *, all_pairs: bool = False, answers: int | None = None
) -> Report:
    """Read an experiment, and say how far that is where it takes its time."""
    from broker.cli.follow import Steps

    steps = Steps()

    async def work(broker: Broker) -> Report:
        return await broker.report(experiment, all_pairs=all_pairs, arrangement=wanted, answers=answers)

    try:
        return context.run(work, drive=False, report=steps.report)
    finally:
        steps.close()


def page_path(experiment: str) -> Path:
    """Return where the page of an experiment is kept: a file in the data folder."""
    from broker.settings import locate

    data_dir = locate(config=context.STATE.config, overrides=context.STATE.overrides).data_dir
    return data_dir / "results" / f"{file_name(experiment)}.html"


def file_name(experiment: str) -> str:
    """Return an experiment's name as a file may be called; where that changes it, with a hash of the name."""
    safe = re.sub(r"[^\w.-]+", "-", experiment)[:80].strip(".-")
    return safe if safe == experiment else f"{safe}-{sha256(experiment.encode()).hexdigest()[:8]}".lstrip("-")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_page(report: Report) -> Path:
    """Write the page of an experiment to its place; return it."""
    from broker.results import to_page

    path = page_path(report.table.experiment)
    write_text(path, to_page(report))
    return path


def show_table(table: ResultsTable) -> None:
    """Print the table, or its data with `--json`."""
    from broker.results import render_table, to_json

    if OUT.json:
        OUT.raw(to_json(table) + "\n")
    else:
        OUT.console.print(render_table(table, width=OUT.console.width))


def _written(report: Report, form: Form) -> str | None:
    """Return what goes to a file or a pipe; None for the table on a terminal."""
    from broker.results import to_csv, to_json, to_markdown, to_page

    match form:
        case Form.CSV:
            return to_csv(report.table)
        case Form.MARKDOWN:
            return to_markdown(report.table)
        case Form.HTML:
            return to_page(report)
        case Form.JSON:
            return to_json(report.table) + "\n"
        case Form.TEXT:
            return None


def _plain(table: ResultsTable) -> str:
    from broker.results import as_text

    return as_text(table)


def _list() -> int:
    with context.look() as store:
        found = store.experiments()
        counts = {experiment.name: sum(store.count_jobs(experiment=experiment.name).values()) for experiment in found}
    if OUT.json:
        from broker.jobs.codec import dump

        OUT.data([{**dump(experiment), "jobs": counts[experiment.name]} for experiment in found])
        return EXIT_OK
    from rich import box
    from rich.table import Table

    from broker.cli.words import since

    table = Table("experiment", "jobs", "validation", "made", box=box.SIMPLE_HEAD)
    for experiment in found:
        validation = (experiment.validation_sha256 or "–")[:12]
        table.add_row(experiment.name, str(counts[experiment.name]), validation, since(experiment.created_at))
    OUT.table(table)
    return EXIT_OK
