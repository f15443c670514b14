"""`broker serve`: the store, the tokens and the application behind a listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import UserError
from broker.jobs.blocking import blocking
from broker.jobs.store import open_store
from broker.server.app import create_app
from broker.server.listening import Listener, Place
from broker.server.tokens import token_names

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

    from broker.jobs.store import Store
    from broker.server.config import ServerConfig
    from broker.settings import Settings


async def serve(
    config: ServerConfig, settings: Settings, *, started: Callable[[str], None] = lambda _url: None
) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM); running requests may end first.

    Args:
        config: Where to listen and what to serve.
        settings: Of the broker behind it.
        started: Called once, with the base URL, when clients can come.

    Raises:
        UserError: Other than loopback without a token, or the address cannot be bound.
        StoreError: The store cannot be opened.
    """
    store = await blocking(open_store, settings.store_url)
    try:
        check_open(config, await blocking(token_names, store))
        await build_server(config, settings, store, started).serve()
    finally:
        await blocking(store.close)


def check_open(config: ServerConfig, tokens: list[str]) -> None:
    """Refuse to let other machines in without a token.

    Args:
        config: Where to listen.
        tokens: Names of the tokens there are.

    Raises:
        UserError: The address is not loopback and there is no token.
    """
    if not config.loopback and not tokens:
        raise UserError(
            f"{config.host} can be reached from other machines, and there is no token",
            fix="broker serve --new-token NAME, then start again; or leave --host out",
        )


def build_server(
    config: ServerConfig, settings: Settings, store: Store, started: Callable[[str], None]
) -> uvicorn.Server:
    """Build the server; its `serve` runs it, and its `should_exit` ends it.

    Args:
        config: Where to listen and what to serve.
        settings: Of the broker behind it.
        store: Open; closed by the caller.
        started: Called once, with the base URL, when clients can come.
    """
    limits = config.limits
    place = Place(host=config.host, port=config.port, header_s=limits.header_s, shutdown_s=config.shutdown_s)
    return Listener(create_app(config, settings, store), place, lambda url: started(f"{url}/v1"))
