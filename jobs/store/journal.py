"""Events: what happened, in the order in which readers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select

from broker.jobs.codec import dump
from broker.jobs.store import schema
from broker.jobs.store.decoding import event_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from broker.jobs.records import Event, EventKind, NewEvent
    from broker.jobs.store.database import Transaction

_TABLE = schema.events
_INSERT = insert(_TABLE).inline()
_BY_JOB = (
    select(_TABLE)
    .where(_TABLE.c.job_id == bindparam("job"), _TABLE.c.seq > bindparam("after"))
    .order_by(_TABLE.c.seq)
    .limit(bindparam("most"))
)
_ALL = select(_TABLE).where(_TABLE.c.seq > bindparam("after")).order_by(_TABLE.c.seq).limit(bindparam("most"))


def note(tx: Transaction, job_id: str, kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write one event of our own."""
    content = tx.redactor.message(dump(dict(data)))
    tx.connection.execute(_INSERT, {"job_id": job_id, "kind": kind, "at": tx.now, "data": content})


def note_all(tx: Transaction, job_ids: Iterable[str], kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write the same event of our own for many jobs."""
    rows = [{"job_id": one, "kind": kind, "at": tx.now, "data": dict(data)} for one in job_ids]
    if rows:
        tx.connection.execute(_INSERT, rows)


def append(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Write events; one whose (job, source_id) is there already is skipped."""
    rows = [
        {
            "job_id": event.job_id,
            "kind": event.kind,
            "at": event.at or tx.now,
            "data": tx.redactor.message(dump(dict(event.data))),
            "source_id": event.source_id,
        }
        for event in events
    ]
    if rows:
        tx.connection.execute(tx.insert(_TABLE).on_conflict_do_nothing(), rows)


def after(connection: Connection, job_id: str | None, seq: int, limit: int) -> list[Event]:
    """Return the events behind `seq`, oldest first."""
    parameters: dict[str, Any] = {"after": seq, "most": limit}
    statement = _ALL
    if job_id is not None:
        statement, parameters["job"] = _BY_JOB, job_id
    return [event_of(row) for row in connection.execute(statement, parameters).mappings()]


def last(connection: Connection) -> int:
    """Return the number of the newest event, 0 when there is none."""
    return int(connection.execute(select(func.max(_TABLE.c.seq))).scalar() or 0)
