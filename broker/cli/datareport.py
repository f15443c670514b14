"""`broker data report`: what is in a data file, or in the folder of a synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError

if TYPE_CHECKING:
    from rich.table import Table

    from broker.api import Broker
    from broker.synthesis.measures import Histogram
    from broker.synthesis.report import DataReport, Lineage

REPORT_HELP = """Look at data before it trains: a file of rows, or the folder that a synthesis wrote.

Counts with the reasons of rejections, lengths and reading ease, prompts that come twice or nearly, variety of the
words, rows to look at, and where they come from. --html writes it as one page that needs no network.

[bold]Examples[/bold]

  broker data report train.jsonl

  broker data report made/ --html report.html

  broker data report human.jsonl made/ --encoder Alibaba-NLP/gte-modernbert-base --html report.html
"""
_SHOWN = 5
_BLOCKS = "▁▂▃▄▅▆▇█"


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help=REPORT_HELP)(report)


def report(
    data: Annotated[list[str], typer.Argument(help="Files, hf:NAME[:split], or folders with rows.jsonl.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write a page.", show_default=False)] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Sentence encoder, to look for near-duplicates too.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="Rows to show of each.", min=0)] = 6,
    seed: Annotated[int, typer.Option("--seed", help="Of the rows shown.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the page if it is there.")] = False,
) -> int:
    """Look at data."""
    from broker.cli.follow import Steps

    if html is not None and html.exists() and not force:
        raise UserError(f"{html} exists", where="--html", fix="name another file, or --force to replace this one")
    steps = Steps()

    async def work(broker: Broker) -> list[DataReport]:
        return await broker.data_report(data, encoder=encoder, samples=samples, seed=seed)

    try:
        found = context.run(work, drive=False, report=steps.report)
    except context.StoppedError:
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if OUT.json:
        from broker.jobs.codec import dump

        OUT.data([dump(one) for one in found])
    else:
        for one in found:
            _print(one)
    if html is not None:
        _write(found, html)
    return EXIT_OK


def _write(found: list[DataReport], html: Path) -> None:
    from broker.jobs.datasets import write_lines
    from broker.synthesis.page import to_page

    write_lines(html, [to_page(found).rstrip("\n")])
    OUT.note(f"wrote {html}")


def _print(found: DataReport) -> None:
    OUT.console.rule(found.name, align="left", characters="─")
    rejected = f", {found.rejected_rows:,} rejected" if found.rejected_rows else ""
    OUT.say(f"{found.rows:,} {found.format} rows{rejected}")
    for remark in found.remarks:
        OUT.warn(remark)
    _print_counts(found)
    if found.histograms:
        OUT.table(_histograms(found))
    if found.diversity:
        OUT.table(_varieties(found))
    _print_alike(found)
    if found.lineage is not None:
        OUT.table(_lineage(found.lineage))
    _print_samples(found)


def _plain(*heads: str, right: tuple[int, ...] = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=any(heads))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in right else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells))


def _print_counts(found: DataReport) -> None:
    if found.run:
        OUT.say(", ".join(f"{label} {value}" for label, value in found.run))
    if found.rejected:
        table = _plain("rejected because", "rows", right=(1,))
        for reason, count in found.rejected:
            _add(table, reason, f"{count:,}")
        OUT.table(table)


def _histograms(found: DataReport) -> Table:
    table = _plain("", "series", "mean", "from", "", "to", "", right=(2, 3))
    for shown in found.histograms:
        for name, counts in shown.counts.items():
            mean = shown.means[name]
            ends = (f"{shown.edges[0]:g}", _bars(counts), f"{shown.edges[-1]:g}")
            label = f"{shown.title} ({shown.unit})"
            _add(table, label, name, "–" if mean is None else f"{mean:.3g}", *ends, _shares(shown, name))
    return table


def _shares(shown: Histogram, name: str) -> str:
    return ", ".join(f"{mark}: {told[name]:.0%}" for mark, told in shown.shares.items() if name in told)


def _bars(counts: tuple[int, ...]) -> str:
    highest = max(counts) or 1
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // highest)] if count else " " for count in counts)


def _varieties(found: DataReport) -> Table:
    table = _plain(
        "words of", "distinct", "pairs", "triples", "4-grams elsewhere too", "most texts share", right=(1, 2, 3, 4)
    )
    for name, one in found.diversity.items():
        distinct = ("–" if value is None else f"{value:.3f}" for value in one.distinct)
        repeated = "–" if one.repeated is None else f"{one.repeated:.0%}"
        common = ", ".join(f"“{gram}” ({count})" for gram, count in one.common[:3])
        _add(table, name, *distinct, repeated, common)
    return table


def _print_alike(found: DataReport) -> None:
    for one in found.alike:
        OUT.say(f"{one.rows:,} prompts are like an earlier one ({one.method})")
        for pair in one.pairs[:_SHOWN]:
            OUT.say(
                f'  {pair.similarity:.2f}  line {pair.line} "{pair.text}" and line {pair.earlier} "{pair.earlier_text}"'
            )
        if one.rows > _SHOWN:
            OUT.note(f"  and {one.rows - _SHOWN:,} more")


def _lineage(found: Lineage) -> Table:
    table = _plain("where they come from", "")
    told: list[tuple[str, Any]] = [
        ("pipeline", found.pipelines),
        ("model", found.models),
        ("mixed of", found.provenance),
    ]
    told += [(f"sources ({found.titles:,})", found.sources[:_SHOWN])]
    told += [(f"prompt {name}", hashes) for name, hashes in found.prompts.items()]
    for label, counts in told:
        if counts:
            _add(table, label, ", ".join(f"{name} ({count:,})" for name, count in counts))
    for name, attempts in found.attempts.items():
        _add(table, f"attempts of {name}", ", ".join(f"{rows:,} rows: {count}" for count, rows in attempts))
    if found.rows:
        tokens = f"{found.input_tokens:,} in, {found.output_tokens:,} out"
        _add(table, "tokens and cost", f"{tokens}, {found.cost_usd:,.4f} USD")
    return table


def _print_samples(found: DataReport) -> None:
    for sample in found.samples[:_SHOWN]:
        OUT.say(f"line {sample.line}" + "".join(f"  {name}: {value}" for name, value in sample.facts))
        for who, text in sample.turns:
            OUT.say(f"  {who}: {' '.join(text.split())}")
