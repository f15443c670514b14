"""Runs the fake in a thread of the test, or as a process (`python -m tests.fakes.openai_server PORT_FILE`)."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from tests.fakes.openai_server.app import build
from tests.fakes.openai_server.state import Habits, State

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import ASGIApp, Receive, Scope, Send


class Door:
    """An app whose inside can be changed while it is served: to start a server takes longer than most tests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@dataclass(slots=True)
class Running:
    """A fake that runs in a thread; its state may be read and changed by the test."""

    state: State
    url: str
    door: Door

    def clear(self, habits: Habits | None = None) -> None:
        """Begin anew with an empty server at the same address."""
        self.state = State(habits=habits or Habits())
        self.door.app = build(self.state)

    @property
    def base_url(self) -> str:
        return self.url + "/v1"


def server_of(app: ASGIApp, *, port: int = 0) -> tuple[uvicorn.Server, socket.socket]:
    """Return a server and its listening socket."""
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", timeout_keep_alive=30, backlog=4096, access_log=False
    )
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(4096)
    return uvicorn.Server(config), listening


@contextmanager
def running(habits: Habits | None = None) -> Generator[Running]:
    """Run the fake while the block lasts."""
    state = State(habits=habits or Habits())
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
