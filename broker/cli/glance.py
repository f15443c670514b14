"""A quick look into the embedded store: `broker jobs` must not wait for an SQL toolkit to load.

Only reads, only SQLite, only the schema that it was written for. Whenever that does not fit, it says so by returning
None, and the caller opens the store in earnest, which also words every error. A test holds both ways to the same data.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from broker.cli.context import STATE
from broker.jobs.states import State
from broker.settings import locate

SCHEMA = "0001"
_SQLITE = "sqlite:///"
_BUSY_S = 5.0
_MOMENTS = frozenset({"created_at", "updated_at", "started_at", "finished_at"})
_JSON = frozenset({"spec", "depends_on", "model", "failure", "look", "result"})
# As in `Job`, in its order.
_FIELDS = (
    "id", "kind", "experiment", "spec", "state", "created_at", "updated_at", "label", "attempt", "priority",
    "depends_on", "intent_key", "handle", "wish", "model", "failure", "look", "remote_status", "reserved_usd",
    "cost_usd", "started_at", "finished_at", "result",
)  # fmt: skip

Read = Callable[[str, Sequence[Any]], list[sqlite3.Row]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Some jobs and how many there are.

    Attributes:
        jobs: As plain JSON data, like `broker.jobs.codec.dump` makes it of a `Job`.
        counts: Number of jobs of each state that occurs.
    """

    jobs: list[dict[str, Any]]
    counts: dict[State, int]


def glance_jobs(
    *,
    experiment: str | None,
    states: Sequence[State],
    providers: Sequence[str],
    limit: int,
    offset: int,
) -> Listing | None:
    """Return the newest jobs.

    Args:
        experiment: Only its jobs.
        states: Only jobs in these, if any are named.
        providers: Only jobs of these accounts, if any are named.
        limit: So many at most.
        offset: So many of the newest are left out.

    Returns:
        The jobs, or None when the store must be opened in earnest.
    """
    file = _file()
    if file is not None and not file.exists():
        return Listing(jobs=[], counts={})
    wanted = {"state": states, "provider": providers, "experiment": [experiment] if experiment is not None else []}
    conditions = [f"{column} IN ({', '.join('?' * len(values))})" for column, values in wanted.items() if values]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    given = [str(value) for values in wanted.values() for value in values]
    counted = "WHERE experiment = ?" if experiment is not None else ""

    def look(read: Read) -> Listing:
        found = read(f"SELECT * FROM jobs {where} ORDER BY seq DESC LIMIT ? OFFSET ?", [*given, limit, offset])
        counts = read(f"SELECT state, count(*) AS n FROM jobs {counted} GROUP BY state", wanted["experiment"])
        return Listing(jobs=[_job_data(row) for row in found], counts={State(row["state"]): row["n"] for row in counts})

    return _look(look)


def glance_job(id_or_prefix: str) -> dict[str, Any] | None:
    """Return one job as plain data, with its intents.

    Args:
        id_or_prefix: Its id or a unique beginning of it.

    Returns:
        The job, or None when there is none or several, or the store must be opened in earnest.
    """

    def look(read: Read) -> dict[str, Any] | None:
        beginning = (id_or_prefix, id_or_prefix + "\U0010ffff")
        found = read("SELECT * FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", beginning)
        if not id_or_prefix or not found or (len(found) > 1 and found[0]["id"] != id_or_prefix):
            return None
        query = "SELECT key, attempt, sends FROM intents WHERE job = ? ORDER BY attempt"
        intents = [dict(row) for row in read(query, [found[0]["seq"]])]
        return {**_job_data(found[0]), "intents": intents}

    return _look(look)


def glance_names(column: str, beginning: str) -> list[str]:
    """Return job ids or experiments for shell completion, newest first; none when the store cannot be read.

    Args:
        column: `id` or `experiment`.
        beginning: What was typed.
    """

    def look(read: Read) -> list[str]:
        query = f"SELECT {column} AS name FROM jobs WHERE substr({column}, 1, ?) = ? GROUP BY 1 ORDER BY max(seq) DESC"
        return [row["name"] for row in read(f"{query} LIMIT 50", [len(beginning), beginning])]

    return _look(look) or []


def _file() -> Path | None:
    """Return the file of the embedded store, there or not; None when the store is another."""
    url = locate(config=STATE.config, overrides=STATE.overrides).store_url
    path = Path(url.removeprefix(_SQLITE))
    return path if url.startswith(_SQLITE) and path.is_absolute() else None


def _look(work: Callable[[Read], T]) -> T | None:
    """Do some reading in one transaction; return None when that is not possible."""
    file = _file()
    if file is None or not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            known = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            if [row[0] for row in known] != [SCHEMA]:
                return None
            return work(lambda query, values: connection.execute(query, values).fetchall())
    except sqlite3.Error:
        return None


def _job_data(row: sqlite3.Row) -> dict[str, Any]:
    return {name: _value(row, name) for name in _FIELDS}


def _value(row: sqlite3.Row, name: str) -> Any:
    if name == "handle":
        return None if row["handle_id"] is None else {"provider": row["handle_provider"], "id": row["handle_id"]}
    value = row[name]
    if value is not None and name in _JSON:
        return json.loads(value)
    if value is not None and name in _MOMENTS:
        return datetime.fromisoformat(value).isoformat() + "Z"
    return value
