"""`broker compare`: two models on the same prompts, and gates for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import context
from broker.cli.completion import complete_experiment
from broker.cli.output import OUT
from broker.errors import EXIT_JOB_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.results.pairing import PairReport

COMPARE_HELP = """Compare two models on the same prompts: differences with intervals, tests, effects, examples; gates.

[bold]Examples[/bold]

  broker compare "sandbox tuned" sandbox

  broker compare tune-k3f9 openai:gpt-4o-mini --experiment tone --metric conversational

  broker compare tune-k3f9 --gate "conversational >= base - 2pt" --gate "similarity >= 0.6" --junit gates.xml

  broker compare tune-k3f9 tune-m7w2 --gate "flesch >= B - 5%" --strict --json

A model is a row of the table: its label, its model, or the id of a job. Without B it is A's own base.
A gate is METRIC OPERATOR REFERENCE, then + or - NUMBER and a unit (pt are points, % is a part of the reference) if need
be; the reference is base, best, A, B, a number, or another row in quotation marks.
Exit code 0: all gates passed; 1: one failed; 2: one cannot be read, or the models cannot be compared.
"""


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help=COMPARE_HELP, rich_help_panel="Results")(compare)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A row: its label, its model, or the id of a job.")],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Another; A's own base when not given.", show_default=False)
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(help="Where to look; the newest with both when not given.", autocompletion=complete_experiment),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; several times.")] = None,
    gate: Annotated[list[str] | None, typer.Option(help='As "conversational >= base - 2pt"; several times.')] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Gates hold for the whole 95 % interval, not for the estimate.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the gates as a JUnit file.", show_default=False)] = None,
    examples: Annotated[int, typer.Option(help="How many prompts to show on which they differ most.", min=0)] = 3,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
) -> int:
    """Compare two models and hold gates."""
    if markdown and OUT.json:
        raise UserError("one format at a time", where="--markdown, --json", fix="take one of them")
    if junit is not None and not gate:
        raise UserError("a JUnit file holds gates, and there are none", where="--junit", fix='--gate "METRIC >= base"')

    async def work(broker: Broker) -> PairReport:
        return await broker.compare(
            a, b, experiment=experiment, metrics=metric, gates=gate or (), strict=strict, examples=examples
        )

    report = context.run(work, drive=False)
    if junit is not None:
        from broker.results.junit import to_junit

        junit.write_text(to_junit(report), encoding="utf-8")
    _show(report, markdown=markdown)
    if junit is not None:
        OUT.note(f"wrote {junit}", style="dim")
    return EXIT_OK if report.passed else EXIT_JOB_FAILED


def _show(report: PairReport, *, markdown: bool) -> None:
    from broker.results.pairdata import to_pair_data
    from broker.results.pairtext import print_pair, to_pair_markdown

    if OUT.json:
        OUT.data(to_pair_data(report))
    elif markdown:
        OUT.raw(to_pair_markdown(report))
    else:
        print_pair(report, OUT.console)
