"""A person at a terminal: runs `broker` in this process, in one of its own, or at a pseudo-terminal."""

from tests.fakes.terminal.person import Done, Terminal
from tests.fakes.terminal.screen import Screen, at_screen

__all__ = ["Done", "Screen", "Terminal", "at_screen"]
