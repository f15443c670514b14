"""Reading what a person types without holding up the event loop, so that Ctrl-C works while nobody types."""

from __future__ import annotations

import os
import sys

import anyio
import anyio.lowlevel

from broker.cli.output import OUT

_CHUNK = 65536


class Keyboard:
    """Lines of standard input: a terminal, a pipe or a file."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._rest = b""
        self._ended = False

    async def line(self) -> str | None:
        """Return the next line without its end, or None when there is no more."""
        while b"\n" not in self._rest and not self._ended:
            await _readable()
            chunk = os.read(sys.stdin.fileno(), _CHUNK)
            self._rest += chunk
            self._ended = not chunk
        if not self._rest:
            return None
        found, _, self._rest = self._rest.partition(b"\n")
        return found.decode(errors="replace").rstrip("\r")


async def _readable() -> None:
    try:
        await anyio.wait_readable(sys.stdin.fileno())
    except PermissionError:  # a regular file cannot be waited for: it never blocks
        await anyio.lowlevel.checkpoint()


async def confirm(question: str) -> bool:
    """Ask a question on standard error; anything but yes is no."""
    OUT.notes.print(f"{question} [y/N]: ", end="", markup=False, highlight=False)
    answer = await Keyboard().line()
    if answer is None:
        OUT.note("")
    return (answer or "").strip().lower() in {"y", "yes"}
