"""`broker results`: the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.results import ResultsTable

RESULTS_HELP = """The table of an experiment: every model on the same validation set.

[bold]Examples[/bold]

  broker results

  broker results tone --sort conversational --filter precision=int8 --filter "rows>=1000"

  broker results tone --group rank --columns lr,conversational,cost

  broker results tone --markdown > table.md

  broker results tone --csv --output table.csv

  broker results --list
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=RESULTS_HELP, rich_help_panel="Results")(results)


def results(
    experiment: Annotated[str | None, typer.Argument(help="Name of the experiment; the newest when not given.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    html: Annotated[bool, typer.Option("--html", help="As an HTML fragment.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    sort: Annotated[str, typer.Option(metavar="COLUMN[:asc|desc]", help="Order of the rows.", show_default=False)] = "",
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="EXPR", help="Only these models: precision=int8, rows>=1000, label~tuned."),
    ] = None,
    group: Annotated[str, typer.Option(metavar="COLUMN", help="Rows under a head each.", show_default=False)] = "",
    columns: Annotated[str, typer.Option(metavar="NAME,…", help="Only these columns.", show_default=False)] = "",
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Compare every pair of models.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
) -> int:
    """Show the table of an experiment."""
    if sum((csv, markdown, html, OUT.json)) > 1:
        raise UserError("one format at a time", where="--csv, --markdown, --html, --json", fix="take one of them")
    if list_:
        return _list()
    from broker.results import Arrangement, arrange

    async def work(broker: Broker) -> ResultsTable:
        return await broker.results(experiment, all_pairs=all_pairs)

    wanted = Arrangement(sort=sort, filters=tuple(filter_ or ()), group=group, columns=_split(columns))
    table = arrange(context.run(work, drive=False), wanted)
    text = _exported(table, csv=csv, markdown=markdown, html=html)
    if output is not None:
        output.write_text(text if text is not None else _plain(table), encoding="utf-8")
        OUT.note(f"wrote {output}")
    elif text is not None:
        OUT.raw(text)
    else:
        show_table(table)
    return EXIT_OK


def show_table(table: ResultsTable) -> None:
    """Print the table, or its data with `--json`."""
    from broker.results import render_table, to_json

    if OUT.json:
        OUT.raw(to_json(table) + "\n")
    else:
        OUT.console.print(render_table(table, width=OUT.console.width))


def _exported(table: ResultsTable, *, csv: bool, markdown: bool, html: bool) -> str | None:
    from broker.results import to_csv, to_html, to_json, to_markdown

    if csv:
        return to_csv(table)
    if markdown:
        return to_markdown(table)
    if html:
        return to_html(table)
    return to_json(table) + "\n" if OUT.json else None


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _plain(table: ResultsTable) -> str:
    from rich.console import Console

    from broker.results import render_table

    console = Console(width=160, record=True, file=None, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(render_table(table, width=160))
    return captured.get()


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
