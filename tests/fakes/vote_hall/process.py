from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.terminal import Terminal

# What tables call the fake provider's base and the model tuned of it.
MODELS = ("fake-base", "fake-base tuned")


class HallProcess:
    """`broker vote` as a process of its own."""

    def __init__(self, terminal: Terminal, *arguments: str) -> None:
        self.process = terminal.start("vote", *MODELS, "--json", *arguments)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)

    def end(self) -> Any:
        """Press Ctrl-C; return the results."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return json.loads(out)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)
