"""The terminal: one place for consoles, JSON and errors."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table

    from broker.errors import BrokerError, Problem

# A table that goes to a pipe is as wide as its content, up to so many characters: one line a row is for `grep`.
_WIDEST = 400
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


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

        problems = error.problems if isinstance(error, ProblemsError) else ()
        if self.json:
            body = {
                "type": type(error).__name__,
                "message": error.message,
                "where": error.where,
                "fix": error.fix,
                "exit_code": error.exit_code,
                "problems": [_problem(item) for item in problems],
            }
            sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
        elif len(problems) == 1:
            self._fault(problems[0].where, problems[0].what, problems[0].fix)
        else:
            self._fault(error.where, error.message.splitlines()[0] if problems else error.message, error.fix)
            for problem in problems:
                self._fault(problem.where, problem.what, problem.fix, head="  ·", style="bold yellow", indent=4)

    def _fault(
        self, where: str, what: str, fix: str, *, head: str = "error:", style: str = "bold red", indent: int = 2
    ) -> None:
        console = _console(stderr=True, color=self.color)
        console.print(head, style=style, end=" ", highlight=False)
        console.print(f"{where}: {what}" if where else what, markup=False, highlight=False, soft_wrap=True)
        if fix:
            console.print(f"{' ' * indent}fix:", style="bold green", end=" ", highlight=False)
            console.print(fix, markup=False, highlight=False, soft_wrap=True)


def silence(stream: IO[str]) -> None:
    """Send the rest of a stream nowhere: whoever read it went away, and Python flushes it again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _problem(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "fix": problem.fix, "severity": problem.severity}


def _console(*, stderr: bool, color: str) -> Console:
    from rich.console import Console
    from rich.segment import Segment

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            """Go on without a reader: the work is worth more than its report."""
            silence(self.file)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            """Leave out what would steer the terminal: texts come from models and servers. Styles come later."""
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(_STEERING.sub("", segment.text), segment.style)

    forced = {"always": True, "never": False}.get(color)
    # No emoji: `openai:x:y` is the name of a model, not a picture.
    colorless = True if color == "never" else None
    return Patient(stderr=stderr, force_terminal=forced, no_color=colorless, emoji=False)


# One run of the command has one way of talking; the options are read before any command runs.
OUT = Output()
