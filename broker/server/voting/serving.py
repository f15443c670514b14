"""The voting application behind a listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.server.listening import Listener, Place
from broker.server.voting.app import VoteConfig, create_app

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

    from broker.voting import Booth

# A vote takes a moment; nobody is kept waiting for browsers that hold their connection open.
_SHUTDOWN_S = 2.0


def build_server(booth: Booth, config: VoteConfig, *, started: Callable[[str], None]) -> uvicorn.Server:
    """Build the server; its `serve` runs it, and its `should_exit` ends it.

    Args:
        booth: What is voted on.
        config: Where to listen.
        started: Called once, with `http://HOST:PORT`, when voters can come.
    """
    place = Place(host=config.host, port=config.port, shutdown_s=_SHUTDOWN_S)
    return Listener(create_app(booth, config), place, started)
