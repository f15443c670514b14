"""`broker data`: rows before they train."""

from __future__ import annotations

import typer

from broker.cli import datareport, familiarity, mixing

DATA_HELP = """Rows before they train: mix them, measure them, look at them.

[bold]Examples[/bold]

  broker data mix --real real.jsonl --synthetic made.jsonl --ratio 300:200 --output mixed.jsonl

  broker data familiarity human.jsonl made.jsonl --model meta-llama/Llama-3.2-1B-Instruct

  broker data report made/ --html report.html
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this group."""
    data = typer.Typer(help=DATA_HELP, no_args_is_help=True, rich_markup_mode="rich")
    for module in (mixing, familiarity, datareport):
        module.add_commands(data)
    app.add_typer(data, name="data", rich_help_panel="Work")
