"""Where jobs, intents, events and leases are kept: SQLite by default, PostgreSQL when a team shares them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.jobs.store.protocol import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.jobs.store.clock import Clock

__all__ = ["Store", "open_store"]


def open_store(url: str, *, secrets: Iterable[str] = (), clock: Clock | None = None) -> Store:
    """Open a store, creating it or bringing its schema up to date first, under a lock.

    Args:
        url: `sqlite:////absolute/path/broker.db` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
        secrets: Keys and tokens that must never be written; they are replaced wherever they turn up.
        clock: Times of an SQLite store, for tests; the machine's own when not given.

    Returns:
        The store; threads may share it.

    Raises:
        UserError: The URL cannot be used.
        StoreError: The store cannot be opened or written, or was made by a newer broker.
    """
    from broker.jobs.store.database import Database
    from broker.jobs.store.migration import ensure_schema
    from broker.jobs.store.sql import SqlStore

    database = Database(url, secrets=secrets, clock=clock)
    try:
        ensure_schema(database)
    except BaseException:
        database.close()
        raise
    return SqlStore(database)
