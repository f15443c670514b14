"""Voting in the terminal: one key a vote, the same ballot and the same book as the page."""

from __future__ import annotations

import os
import sys
import termios
import time
import tty
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from broker.cli.keyboard import Keyboard
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from broker.jobs.blocking import blocking
from broker.voting import Choice

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from rich.console import RenderableType

    from broker.voting import Booth, Shown, View, Voter

_KEYS = {"1": Choice.FIRST, "2": Choice.SECOND, "=": Choice.TIE, "t": Choice.TIE, "s": Choice.SKIP}
_ESCAPE = "\x1b"
# Marks that turn the direction of writing, also of what follows.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# From so many columns on, the answers stand side by side.
_WIDE = 100


def check_terminal() -> None:
    """Refuse to vote where no person can press a key.

    Raises:
        UserError: Input or output is no terminal, or JSON is wanted.
    """
    if OUT.json:
        raise UserError(
            "a person votes; there is no JSON of that", where="--terminal", fix="broker vote --results --json"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "voting here needs a terminal, and this is a pipe", where="--terminal", fix="leave it out for the page"
        )


def vote_here(booth: Booth, data_dir: Path, name: str | None) -> int:
    """Let one person vote; whoever stops goes on later with the same command and the same name.

    Args:
        booth: What is voted on.
        data_dir: The broker's data folder.
        name: Who votes; asked for when None.

    Returns:
        The exit code.
    """
    from broker.cli.vote import show_preferences
    from broker.voting.counting import count_votes

    view = anyio.run(_Sitting(booth).hold, name)
    if view is None:
        return EXIT_INTERRUPTED
    result = count_votes(booth, data_dir)
    if view.shown is not None:  # who goes on later must not be told how it stands
        OUT.note(f"{view.done} of {view.total} are stored; the same command goes on")
        return EXIT_OK
    OUT.note(f"all {view.total} are done, thank you", style="green")
    show_preferences([result] if result.n else [])
    return EXIT_OK


class _Sitting:
    """One person in front of the terminal."""

    def __init__(self, booth: Booth) -> None:
        self._booth = booth
        self._note = ""

    async def hold(self, name: str | None) -> View | None:
        """Vote until everything is done or the person stops; None when nobody gave a name."""
        called = (name or await _asked_name()).strip()
        if not called:
            return None
        voter = await blocking(self._booth.book.named, called)
        view = await blocking(self._booth.greet, voter)
        with _single_keys():
            while view.shown is not None:
                self._draw(view)
                key = await self._key(view)
                if key == "q":
                    break
                view = await self._do(voter, view, view.shown, key)
        OUT.console.clear()
        return view

    async def _key(self, view: View) -> str:
        """Wait for a key that means something now, and remember how long it took."""
        began = time.monotonic()
        while True:
            for key in await _pressed():
                if key == "q" or key in _KEYS or (key == "u" and view.last is not None):
                    self._ms = round((time.monotonic() - began) * 1000)
                    return key

    async def _do(self, voter: Voter, view: View, shown: Shown, key: str) -> View:
        if key == "u":
            view = await blocking(self._booth.undo, voter, view.last or "")
            self._note = "taken back"
        else:
            view = await blocking(self._booth.vote, voter, shown.id, _KEYS[key], self._ms)
            self._note = ""
        if not view.heard:
            self._note = "that was settled already, in another window"
        return view

    def _draw(self, view: View) -> None:
        from rich.text import Text

        console, shown = OUT.console, view.shown
        assert shown is not None
        console.clear()
        place = f"{view.done + 1} of {view.total}"
        console.print(Text.assemble((self._booth.ballot.criterion, "bold"), "   ", (place, "dim")))
        if self._note:
            console.print(Text(self._note, style="yellow"))
        console.print()
        for turn in shown.row.question.turns:
            console.print(Text(shown_text(turn.text), style="bold cyan" if turn.role == "user" else "dim"))
        if self._booth.helped:
            console.print(Text(f"A good answer: {shown_text(shown.row.question.expected)}", style="dim"))
        console.print()
        console.print(_answers(shown.answers, console.width))
        keys = "1 · 2 · = equal · s skip" + (" · u undo" if view.last else "") + " · q stop"
        console.print(Text(keys, style="dim"))


def _answers(answers: tuple[str, str], width: int) -> RenderableType:
    """Return the two answers side by side, or one under the other where there is no room."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    panels = [
        Panel(Text(shown_text(answer)), title=str(number), title_align="left", padding=(0, 1))
        for number, answer in enumerate(answers, 1)
    ]
    if width < _WIDE:
        return Group(*panels)
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(*panels)
    return grid


def shown_text(text: str) -> str:
    """Return a model's text without what would move the cursor, ring the bell or turn the direction of writing."""
    return "".join("�" if _meddles(letter) else letter for letter in text.replace("\r\n", "\n")).strip()


def _meddles(letter: str) -> bool:
    return letter in _TURNING or (unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t")


async def _asked_name() -> str:
    OUT.notes.print("your name, by which you can go on later: ", end="", markup=False, highlight=False)
    return await Keyboard().line() or ""


async def _pressed() -> str:
    """Return the keys that came at once, in lower case; one that sends several letters (an arrow) is none.

    Of several only the first that means something counts: nobody has read what the others would be about.
    """
    await anyio.wait_readable(sys.stdin.fileno())
    came = os.read(sys.stdin.fileno(), 32).decode(errors="replace")
    return "" if came.startswith(_ESCAPE) else came.lower()


@contextmanager
def _single_keys() -> Generator[None]:
    """Take keys one by one and unseen; Ctrl-C still ends."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
