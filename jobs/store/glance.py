"""A quick look into an SQLite store, with nothing but the standard library: for commands that only show something.

SQLAlchemy takes 0.25 s to import, more than `broker jobs` as a whole shall take. Whatever is written goes through the
store; a test holds the two to the same answers.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import StoreError
from broker.jobs.records import Expense
from broker.jobs.spec import ModelRef
from broker.jobs.states import State
from broker.jobs.store import plain
from broker.jobs.store.decoding import event_of, experiment_of, intent_of, job_of
from broker.jobs.store.naming import NEAR, unknown_experiment, unknown_job
from broker.jobs.store.protocol import StoreView
from broker.jobs.store.version import HEAD

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from broker.jobs.records import Event, Experiment, Intent, Job
    from broker.jobs.states import JobKind

_PREFIX = "sqlite:///"
_BUSY_S = 30.0
_JSON = {"spec", "model", "failure", "look", "result", "depends_on", "data", "decoding", "notes"}
_TIMES = {"created_at", "updated_at", "started_at", "finished_at", "sent_at", "at"}
_MANY = "IN (SELECT value FROM json_each(?))"


def glance(url: str) -> StoreView | None:
    """Look into a store without changing anything, where that is possible.

    Args:
        url: The store's URL.

    Returns:
        The view; an empty one when the file does not exist yet; `None` when the store is not SQLite or its schema is
        not the one that this broker knows.
    """
    path = Path(url.removeprefix(_PREFIX))
    if not url.startswith(_PREFIX) or "?" in url or not path.name:
        return None
    view = Glance(path)
    if view.up_to_date():
        return view
    view.close()
    return None


class Glance(StoreView):
    """Reads an SQLite store. For one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, if there is one.

        Args:
            path: The database.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        if path.exists():
            with self._translated():
                self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
                self._connection.row_factory = sqlite3.Row
                self._connection.execute("PRAGMA query_only=ON").close()

    def up_to_date(self) -> bool:
        """Say whether the store has the schema that this broker knows, or does not exist yet."""
        if self._connection is None:
            return True
        with self._translated():
            tables = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
            versions = self._connection.execute("SELECT version_num FROM alembic_version").fetchall() if tables else []
        return [version for (version,) in versions] == [HEAD]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def experiment(self, name: str) -> Experiment:
        """Return an experiment by name."""
        for row in self._rows("SELECT * FROM experiments WHERE name = ?", name):
            return experiment_of(row, plain.read)
        known = self._rows("SELECT name FROM experiments ORDER BY seq DESC")
        raise unknown_experiment(name, [row["name"] for row in known])

    def experiments(self) -> list[Experiment]:
        """Return all experiments, newest first."""
        return [experiment_of(row, plain.read) for row in self._rows("SELECT * FROM experiments ORDER BY seq DESC")]

    def job(self, id_or_prefix: str) -> Job:
        """Return one job by its id or a unique beginning of it."""
        query = "SELECT * FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT 4"
        rows = self._rows(query, id_or_prefix, id_or_prefix + "\U0010ffff")
        if rows and id_or_prefix and (len(rows) == 1 or rows[0]["id"] == id_or_prefix):
            return job_of(rows[0], plain.read)
        newest = self._rows("SELECT id FROM jobs ORDER BY seq DESC LIMIT ?", NEAR)
        raise unknown_job(id_or_prefix, [row["id"] for row in rows], [row["id"] for row in newest])

    def jobs(
        self,
        *,
        experiment: str | None = None,
        states: Iterable[State] | None = None,
        kinds: Iterable[JobKind] | None = None,
        providers: Iterable[str] | None = None,
        handles: Iterable[str] | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Return jobs, oldest first unless told otherwise."""
        lists = {"state": states, "kind": kinds, "provider": providers, "handle_id": handles}
        given = {name: json.dumps([str(one) for one in values]) for name, values in lists.items() if values is not None}
        conditions = [f"{name} {_MANY}" for name in given]
        values: list[Any] = list(given.values())
        if experiment is not None:
            conditions, values = ["experiment = ?", *conditions], [experiment, *values]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT * FROM jobs {where} ORDER BY seq {order} LIMIT ? OFFSET ?"
        rows = self._rows(query, *values, -1 if limit is None else limit, offset)
        return [job_of(row, plain.read) for row in rows]

    def count_jobs(self, *, experiment: str | None = None) -> dict[State, int]:
        """Return how many jobs are in each state."""
        where = "" if experiment is None else "WHERE experiment = ?"
        query = f"SELECT state, count(*) AS number FROM jobs {where} GROUP BY state"
        rows = self._rows(query, *([] if experiment is None else [experiment]))
        return {State(row["state"]): row["number"] for row in rows}

    def intents(self, job_id: str) -> list[Intent]:
        """Return the intents of a job, oldest first."""
        query = (
            "SELECT intents.*, jobs.id AS job_id FROM intents JOIN jobs ON jobs.seq = intents.job"
            " WHERE jobs.id = ? ORDER BY intents.attempt"
        )
        return [intent_of(row, plain.read) for row in self._rows(query, job_id)]

    def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return events with `seq > after`, oldest first, of one job or of all."""
        mine = "" if job_id is None else "job_id = ? AND"
        query = f"SELECT * FROM events WHERE {mine} seq > ? ORDER BY seq LIMIT ?"
        return [event_of(row) for row in self._rows(query, *([] if job_id is None else [job_id]), after, limit)]

    def last_seq(self) -> int:
        """Return the seq of the newest event, 0 when there is none."""
        return max((row["seq"] for row in self._rows("SELECT seq FROM events ORDER BY seq DESC LIMIT 1")), default=0)

    def spent(self, experiment: str) -> float:
        """Return what is reserved or spent in an experiment, USD."""
        jobs = "SELECT sum(earlier_usd + coalesce(cost_usd, reserved_usd)) AS usd FROM jobs WHERE experiment = ?"
        beside = "SELECT sum(coalesce(cost_usd, reserved_usd)) AS usd FROM expenses WHERE experiment = ?"
        return sum(row["usd"] or 0.0 for query in (jobs, beside) for row in self._rows(query, experiment))

    def expenses(self, experiment: str) -> list[Expense]:
        """Return what an experiment spends beside its jobs, oldest first."""
        query = "SELECT name, at, reserved_usd, cost_usd FROM expenses WHERE experiment = ? ORDER BY seq"
        return [Expense(**row) for row in self._rows(query, experiment)]

    def models(self) -> list[tuple[str, ModelRef, str | None]]:
        """Return (alias, model, job id) of all registered models, newest first."""
        rows = self._rows("SELECT * FROM models ORDER BY seq DESC")
        return [(row["alias"], plain.read(ModelRef, row["model"]), row["job_id"]) for row in rows]

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        if self._connection is None:
            return []
        with self._translated():
            return [_decoded(row) for row in self._connection.execute(query, values)]

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"the store cannot be read: {error}", where=str(self._path), fix="run `broker doctor`"
            ) from error


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    return {name: _value(name, row[name]) for name in row.keys()}  # noqa: SIM118 - a row iterates over its values


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _JSON:
        return json.loads(value)
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if name in _TIMES else value
