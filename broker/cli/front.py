"""The front page: what `broker --help` shows. Typer's own costs as much again as the rest of the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from broker.cli.output import OUT

if TYPE_CHECKING:
    from rich.table import Table

TITLE = "Fine-tune anywhere, judge every model on the same validation set."
USAGE = "broker [OPTIONS] COMMAND …      broker COMMAND --help has examples      begin with: broker demo"
EXIT_CODES = {
    0: "done",
    1: "a job failed or was cancelled, or a gate did not hold",
    2: "wrong usage or bad input",
    3: "a provider failed",
    4: "a job is lost: a person must decide",
    5: "over budget",
    6: "the store or the disk failed",
    130: "stopped by you",
}
_PANELS = ("Set-up", "Work", "Jobs", "Results", "Models")


class FrontPage(TyperGroup):
    """The root command, with a help page of its own."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page: commands by what they are for, options, exit codes."""
        del formatter
        console = OUT.console
        console.print(f"\n {TITLE}\n\n {USAGE}\n", highlight=False, markup=False)
        panels: dict[str, list[tuple[str, str]]] = {name: [] for name in _PANELS}
        for name, command in self.commands.items():
            panel = str(getattr(command, "rich_help_panel", "") or "Work")
            panels.setdefault(panel, []).append((name, command.get_short_help_str(limit=100)))
        for panel, rows in panels.items():
            console.print(f" {panel}", style="bold")
            console.print(_grid(rows))
        console.print(" Options", style="bold")
        records = [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))]
        console.print(_grid(records))
        console.print(" Exit codes", style="bold")
        console.print(_grid([(str(code), text) for code, text in EXIT_CODES.items()]))


def _grid(rows: list[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1), pad_edge=True)
    table.add_column(style="cyan", no_wrap=True, min_width=10)
    table.add_column()
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table
