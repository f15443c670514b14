from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.fakes.terminal.person import Terminal

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_RETURN = re.compile(r"\r+\n?")
CTRL_C = "\x03"
CTRL_D = "\x04"


@dataclass(slots=True)
class Screen:
    """A pseudo-terminal with `broker` in its foreground."""

    pid: int
    file: int
    raw: str = ""
    code: int | None = None

    @property
    def text(self) -> str:
        """Return what was shown, without colours and cursor movements."""
        return _RETURN.sub("\n", _CONTROL.sub("", self.raw))

    def wait_for(self, words: str, timeout_s: float = 60) -> None:
        """Wait until something is shown that was not there when the wait began."""
        seen = len(self.text)
        end = time.monotonic() + timeout_s
        while words not in self.text[max(0, seen - len(words)) :] and words not in self.text[:seen]:
            assert time.monotonic() < end, f"{words!r} never came:\n{self.text[-2000:]}"
            if not self._read(0.2):
                assert words in self.text, f"ended without {words!r}:\n{self.text[-2000:]}"
                return

    def press(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def end(self, timeout_s: float = 60) -> int:
        """Wait for the command's end; return its exit code."""
        end = time.monotonic() + timeout_s
        while self._read(0.2):
            assert time.monotonic() < end, f"it did not end:\n{self.text[-2000:]}"
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self.file], [], [], timeout_s)
        if not ready:
            return True
        try:
            found = os.read(self.file, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.raw += found.decode(errors="replace")
        return bool(found)


@contextmanager
def at_screen(
    terminal: Terminal, *arguments: str, columns: int = 100, env: dict[str, str] | None = None
) -> Generator[Screen]:
    """Run a command at a pseudo-terminal."""
    environment = {**terminal.environment("", env), "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    pid, file = pty.fork()
    if pid == 0:
        os.chdir(terminal.folder)
        os.execve(sys.executable, [sys.executable, "-m", "broker", *arguments], environment)
    fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    screen = Screen(pid, file)
    try:
        yield screen
    finally:
        if screen.code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(file)
