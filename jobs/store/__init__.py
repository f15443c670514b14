"""Where jobs, intents, events and leases are kept: SQLite by default, PostgreSQL when a team shares them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.jobs.store.protocol import Store, StoreView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.jobs.store.clock import Clock

__all__ = ["Store", "StoreView", "open_store", "open_view"]


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


def open_view(url: str) -> StoreView:
    """Open a store only to look into it: quickly, without SQLAlchemy, where it is SQLite and up to date.

    Args:
        url: As for `open_store`.

    Returns:
        The view, for one thread; close it. A file that does not exist yet is not made.

    Raises:
        UserError: The URL cannot be used.
        StoreError: The store cannot be read.
    """
    from broker.jobs.store.glance import glance

    return glance(url) or open_store(url)
