"""Runs the server in a thread of the test, or as a process (`python -m tests.fakes.gemini_server --port 0`)."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.gemini_server.answers import Answering, echo
from tests.fakes.gemini_server.app import build
from tests.fakes.gemini_server.state import Habits, State
from tests.fakes.openai_server.running import Door, server_of

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(slots=True)
class Running:
    """A server that runs in a thread; its state may be read and changed by the test.

    Attributes:
        state: What it holds: `rules`, `habits`, `paid`, `ledger()`.
        url: Its address: the `base_url` of an account.
        door: Holds the app.
    """

    state: State
    url: str
    door: Door

    def clear(self, habits: Habits | None = None, answering: Answering = echo) -> None:
        """Begin anew with an empty server at the same address."""
        self.state = State(habits=habits or Habits(), answering=answering, breaches=self.state.breaches)
        self.door.app = build(self.state)


@contextmanager
def running(habits: Habits | None = None, answering: Answering = echo) -> Generator[Running]:
    """Run the server while the block lasts; at its end nothing may have passed that does not fit the wire.

    Args:
        habits: How it behaves.
        answering: Writes the answers: a plain function of the request.
    """
    state = State(habits=habits or Habits(), answering=answering)
    door = Door(build(state))
    server, listening = server_of(door)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Running(state=state, door=door, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
        listening.close()
    assert not state.breaches, "\n".join(state.breaches[:20])
