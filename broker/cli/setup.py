"""Before the work: is everything there, is the data good; and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from broker.cli.doctor import Finding
    from broker.jobs.datasets import Report

CHECK_HELP = """Check data: bad rows with their lines, duplicates, leakage, lengths.

[bold]Examples[/bold]

  broker check train.jsonl

  broker check train.jsonl --validation val.jsonl --provider openai
"""


DOCTOR_HELP = """Say what this machine can do and what is missing.

[bold]Examples[/bold]

  broker doctor

  broker doctor --json
"""
DEMO_HELP = """The main job, offline, in under three minutes.

[bold]Example[/bold]

  broker demo
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Set-up"
    app.command(help=CHECK_HELP, rich_help_panel="Work")(check)
    app.command(help=DOCTOR_HELP, rich_help_panel=panel)(doctor)
    app.command(help=DEMO_HELP, rich_help_panel=panel)(demo)


def check(
    data: Annotated[str, typer.Argument(help="Rows: a file, or hf:NAME[:split].")],
    validation: Annotated[str | None, typer.Option(help="Look for these rows among the others.")] = None,
    provider: Annotated[str | None, typer.Option(help="Check this provider's limits too.")] = None,
) -> int:
    """Check data."""
    from broker.jobs.datasets import check_dataset, read_source

    limits = None
    if provider is not None:
        limits = context.run(lambda broker: _capabilities(broker, provider), drive=False)
    dataset = read_source(data)
    held_out = read_source(validation, answers=False) if validation is not None else None
    report = check_dataset(dataset, validation=held_out, limits=limits)
    if OUT.json:
        from broker.jobs.codec import dump

        OUT.data(dump(report))
    else:
        _print_report(data, report)
    return EXIT_USAGE if any(problem.severity == "error" for problem in report.problems) else EXIT_OK


async def _capabilities(broker: Any, provider: str) -> Any:
    return broker.accounts.get(provider).capabilities


def _print_report(name: str, report: Report) -> None:
    for problem in report.problems:
        style = "red" if problem.severity == "error" else "yellow"
        OUT.console.print(f"{problem.severity}: {problem}", style=style, markup=False, highlight=False, soft_wrap=True)
    tokens = report.tokens
    counted = "tokens" if tokens.exact else "tokens (estimated)"
    longest = f"longest {tokens.longest} (line {tokens.longest_line})"
    words = f"{report.rows} {report.format} rows, {tokens.total} {counted}, {longest}"
    OUT.say(f"{name}: {words}")
    OUT.note(f"prompts compared by: {report.method}", style="dim")


def doctor() -> int:
    """Say what this machine can do and what is missing."""
    from broker.cli.doctor import examine

    findings = examine(context.settings())
    if OUT.json:
        OUT.data([finding.data() for finding in findings])
        return EXIT_OK
    _print_findings(findings)
    return EXIT_OK


def _print_findings(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for wrap in (False, False, True, True):
        table.add_column(no_wrap=not wrap, overflow="fold")
    for finding in findings:
        mark = Text("✓", style="green") if finding.good else Text("✗", style="yellow")
        table.add_row(mark, Text(finding.name), Text(finding.text), Text(finding.fix, style="dim"))
    OUT.table(table)


def demo(
    folder: Annotated[Path | None, typer.Option(help="Where it works; its own folder when not given.")] = None,
) -> int:
    """Run the demo."""
    from broker.cli.demo import run_demo

    return run_demo(folder)
