from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from broker.server.voting import VoteConfig, build_server
from broker.voting import Booth  # dataclasses are read at run time

if TYPE_CHECKING:
    from collections.abc import Generator

WAIT_S = 30


@dataclass(frozen=True)
class Held:
    """A vote that is being held."""

    url: str
    booth: Booth
    client: httpx.Client

    def link(self) -> str:
        """Return the path of a new voter's page."""
        return f"/v/{self.booth.book.join()[1]}"

    def state(self, link: str) -> dict[str, Any]:
        answer = self.client.get(f"{link}/state")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def vote(self, link: str, choice: str, **body: Any) -> dict[str, Any]:
        """Vote on what is on the table; return the next state."""
        item = self.state(link)["item"]["id"]
        answer = self.client.post(f"{link}/vote", json={"item": item, "choice": choice, "ms": 1000, **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def holding(booth: Booth, **options: Any) -> Generator[Held]:
    """Serve a vote until the block ends.

    Args:
        booth: What is voted on.
        options: Of `VoteConfig`.
    """
    urls: list[str] = []
    ready = threading.Event()

    def started(url: str) -> None:
        urls.append(url)
        ready.set()

    server = build_server(booth, VoteConfig(**options), started=started)
    thread = threading.Thread(target=anyio.run, args=(server.serve,))
    thread.start()
    try:
        assert ready.wait(WAIT_S), "the server did not start"
        with httpx.Client(base_url=urls[0], timeout=WAIT_S) as client:
            yield Held(urls[0], booth, client)
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
