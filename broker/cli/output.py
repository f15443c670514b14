"""The terminal: one place for consoles, JSON and errors."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from broker.errors import BrokerError, Problem

# A table that goes to a pipe is as wide as its content, up to so many characters: one line a row is for `grep`.
_WIDEST = 400


@dataclass(slots=True)
class Output:
    """How this run talks: results on standard output, everything else on standard error.

    Attributes:
        json: Results are JSON, notes are quiet, errors are JSON too.
        color: `auto`, `always` or `never` (`NO_COLOR` is obeyed).
    """

    json: bool = False
    color: str = "auto"

    @property
    def console(self) -> Console:
        """Return the console for results (standard output)."""
        return _console(stderr=False, color=self.color)

    @property
    def notes(self) -> Console:
        """Return the console for progress and notes (standard error), quiet with JSON."""
        console = _console(stderr=True, color=self.color)
        console.quiet = self.json
        return console

    def say(self, text: str) -> None:
        """Print a line of a result, as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str, *, style: str | None = None) -> None:
        """Print a remark, as it is; long ones are wrapped on a terminal only."""
        console = self.notes
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)

    def warn(self, warning: Problem | str) -> None:
        """Print a warning."""
        self.note(f"warning: {warning}", style="yellow")

    def table(self, table: Table) -> None:
        """Print a table; in a pipe no row is broken."""
        console = self.console
        if not console.is_terminal:
            console.width = max(console.width, self.width_of(table))
        console.print(table)

    def width_of(self, table: Table) -> int:
        """Return how many characters a table takes when no cell is wrapped."""
        console = self.console
        return console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum

    def data(self, value: Any) -> None:
        """Print plain data as JSON."""
        self.raw(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def line(self, value: Any) -> None:
        """Print plain data as one line of JSON, for streams."""
        self.raw(json.dumps(value, ensure_ascii=False, default=str) + "\n")

    def raw(self, text: str) -> None:
        """Write text to standard output at once; a reader who went away is no error."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            silence(sys.stdout)

    def error(self, error: BrokerError) -> None:
        """Print an error: what, where, and the fix."""
        from broker.errors import ProblemsError

        if self.json:
            problems = [_problem(item) for item in error.problems] if isinstance(error, ProblemsError) else []
            body = {
                "type": type(error).__name__,
                "message": error.message,
                "where": error.where,
                "fix": error.fix,
                "exit_code": error.exit_code,
                "problems": problems,
            }
            sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
            return
        console = _console(stderr=True, color=self.color)
        head = f"{error.where}: {error.message}" if error.where else error.message
        console.print("error", style="bold red", end=": ", highlight=False)
        console.print(head, markup=False, highlight=False, soft_wrap=True)
        if error.fix:
            console.print("  fix", style="bold green", end=": ", highlight=False)
            console.print(error.fix, markup=False, highlight=False, soft_wrap=True)


def silence(stream: IO[str]) -> None:
    """Send the rest of a stream nowhere: whoever read it went away, and Python flushes it again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _problem(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "fix": problem.fix, "severity": problem.severity}


def _console(*, stderr: bool, color: str) -> Console:
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            """Go on without a reader: the work is worth more than its report."""
            silence(self.file)

    forced = {"always": True, "never": False}.get(color)
    return Patient(stderr=stderr, force_terminal=forced, no_color=True if color == "never" else None)


# One run of the command has one way of talking; the options are read before any command runs.
OUT = Output()
