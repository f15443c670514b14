"""The terminal: one place for consoles, JSON and errors."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from broker.errors import BrokerError


@dataclass(slots=True)
class Output:
    """How this run talks.

    Attributes:
        json: Results go to standard output as JSON, everything else is quiet.
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

    def data(self, value: Any) -> None:
        """Print plain data as JSON."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def line(self, value: Any) -> None:
        """Print plain data as one line of JSON, at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def error(self, error: BrokerError) -> None:
        """Print an error: what, where, and the fix."""
        from broker.errors import ProblemsError

        if self.json:
            problems = [_problem(item) for item in error.problems] if isinstance(error, ProblemsError) else []
            body = {"type": type(error).__name__, "message": error.message, "where": error.where, "fix": error.fix}
            sys.stderr.write(json.dumps({"error": {**body, "problems": problems}}, ensure_ascii=False) + "\n")
            return
        console = _console(stderr=True, color=self.color)
        head = f"{error.where}: {error.message}" if error.where else error.message
        console.print("error", style="bold red", end=": ", highlight=False)
        console.print(head, markup=False, highlight=False, soft_wrap=True)
        if error.fix:
            console.print("  fix", style="bold green", end=": ", highlight=False)
            console.print(error.fix, markup=False, highlight=False, soft_wrap=True)


def _problem(problem: Any) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "fix": problem.fix, "severity": problem.severity}


def _console(*, stderr: bool, color: str) -> Console:
    from rich.console import Console

    forced = {"always": True, "never": False}.get(color)
    return Console(stderr=stderr, force_terminal=forced, no_color=True if color == "never" else None)


# One run of the command has one way of talking; the options are read before any command runs.
OUT = Output()
