"""Who drives which job: claims, renewals, and the check of every write that needs the right to drive."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from sys import intern
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, bindparam, delete, exists, insert, literal, or_, select, text, union, update
from sqlalchemy import String as Text

from broker.errors import LeaseLostError
from broker.jobs.records import Handle, Job, Lease, Wish, Working
from broker.jobs.states import JobKind, State
from broker.jobs.store import schema
from broker.jobs.store.database import among
from broker.jobs.store.decoding import job_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

    from broker.jobs.store.catalogue import Filter
    from broker.jobs.store.database import Transaction

_JOBS = schema.jobs
_LEASES = schema.leases
# Literals, not parameters: only then does SQLite see that the partial index fits.
_FREE = text("drivable = 1 AND leased = 0")
_ORDER = (_JOBS.c.priority.desc(), _JOBS.c.seq)
_STATES = {str(state): state for state in State}
_AT_WORK = _JOBS.c.state.in_([State.RUNNING, State.PAUSING, State.CANCELLING])
_WORKING = select(
    *(_JOBS.c.seq, _JOBS.c.id, _JOBS.c.handle_provider, _JOBS.c.handle_id, _JOBS.c.state, _JOBS.c.remote_status),
    *(_JOBS.c.wish, _JOBS.c.look.is_not(None).label("troubled")),
)
# A lease that begins this far in the future was not written by the clock we read: it has expired.
_AHEAD_S = 1.0


def _expiries(now: Any, ahead: Any, boot: Any) -> list[ColumnElement[bool]]:
    """Return the ways in which a lease is over, each with an index of its own (hence no `!=`)."""
    return [_LEASES.c.until <= now, _LEASES.c.since > ahead, _LEASES.c.boot < boot, _LEASES.c.boot > boot]


_EXPIRED = union(
    *(select(_LEASES.c.job).where(one) for one in _expiries(bindparam("now"), bindparam("ahead"), bindparam("boot")))
)
_HELD = (
    select(_JOBS)
    .join(_LEASES, _LEASES.c.job == _JOBS.c.seq)
    .where(_LEASES.c.token == bindparam("token"), _JOBS.c.id == bindparam("id"))
)
_HELD_LOCKED = _HELD.with_for_update(of=[_JOBS, _LEASES], key_share=True)


def held(tx: Transaction, lease: Lease) -> Any:
    """Return the row of a job that may be driven.

    Raises:
        LeaseLostError: Somebody else holds the job now, or nobody.
    """
    statement = _HELD_LOCKED if tx.postgres else _HELD
    row = tx.connection.execute(statement, {"token": lease.token, "id": lease.job_id}).mappings().one_or_none()
    if row is None:
        raise LeaseLostError(
            "somebody else drives this job now; nothing was changed",
            where=lease.job_id,
            fix="nothing to mend: whoever holds the job goes on with it",
        )
    return row


def claim(tx: Transaction, owner: str, lease_s: float, limit: int, wanted: Filter) -> list[tuple[Job, Lease]]:
    """Take the leases of jobs that want driving, highest priority first, then oldest."""
    _sweep(tx)
    query = select(_JOBS.c.seq).where(_FREE, *wanted.conditions(tx.connection)).order_by(*_ORDER).limit(limit)
    numbers = tx.connection.execute(tx.locked(query, _JOBS, skip=True)).scalars().all()
    if not numbers:
        return []
    tokens = _grant(tx, owner, lease_s, numbers)
    rows = tx.connection.execute(select(_JOBS).where(among(tx.connection, _JOBS.c.seq, numbers)).order_by(*_ORDER))
    expires = tx.now + timedelta(seconds=lease_s)
    return [
        (job_of(row), Lease(job_id=row["id"], owner=owner, token=tokens[row["seq"]], expires_at=expires))
        for row in rows.mappings()
    ]


def claim_working(tx: Transaction, owner: str, lease_s: float, limit: int, provider: str) -> list[Working]:
    """Take the leases of tuning jobs that their provider works on; reads no more of them than following needs."""
    _sweep(tx)
    mine = (_JOBS.c.provider == provider, _JOBS.c.kind == JobKind.TUNE, _JOBS.c.handle_id.is_not(None), _AT_WORK)
    query = select(_JOBS.c.seq).where(_FREE, *mine).order_by(*_ORDER).limit(limit)
    numbers = tx.connection.execute(tx.locked(query, _JOBS, skip=True)).scalars().all()
    if not numbers:
        return []
    tokens = _grant(tx, owner, lease_s, numbers)
    rows = tx.connection.execute(_WORKING.where(among(tx.connection, _JOBS.c.seq, numbers)).order_by(*_ORDER))
    expires = tx.now + timedelta(seconds=lease_s)
    return [
        Working(
            lease=Lease(job_id=row.id, owner=owner, token=tokens[row.seq], expires_at=expires),
            handle=Handle(provider=intern(row.handle_provider), id=row.handle_id),
            state=_STATES[row.state],
            remote_status=intern(row.remote_status) if row.remote_status else None,
            troubled=bool(row.troubled),
            wish=Wish(row.wish) if row.wish else None,
        )
        for row in rows
    ]


def owners(connection: Connection) -> list[str]:
    """Return everybody who holds a lease."""
    return list(connection.execute(select(_LEASES.c.owner).distinct()).scalars())


def disown(tx: Transaction, owner: str) -> int:
    """Free the jobs of an owner that lives no more."""
    mine = _LEASES.c.owner == owner
    link = select(_JOBS.c.seq).join(_LEASES, _LEASES.c.job == _JOBS.c.seq).where(mine).order_by(_JOBS.c.seq)
    tx.connection.execute(tx.locked(link, _JOBS)).close()
    return _free_up(tx, mine)


def renew(tx: Transaction, leases: Sequence[Lease], lease_s: float) -> tuple[list[Lease], list[Lease]]:
    """Extend leases; return (those still held, those lost)."""
    mine = among(tx.connection, _LEASES.c.token, [lease.token for lease in leases])
    if tx.postgres:  # always in one order: two brokers never wait for each other
        tx.connection.execute(tx.locked(select(_LEASES.c.token).where(mine).order_by(_LEASES.c.token), _LEASES))
    changed = update(_LEASES).where(mine).values(since=tx.elapsed, until=tx.elapsed + lease_s)
    kept = set(tx.connection.execute(changed.returning(_LEASES.c.token)).scalars())
    expires = tx.now + timedelta(seconds=lease_s)
    still = [replace(lease, expires_at=expires) for lease in leases if lease.token in kept]
    return still, [lease for lease in leases if lease.token not in kept]


def release(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Give leases back; those that are lost stay as they are."""
    mine = among(tx.connection, _LEASES.c.token, [lease.token for lease in leases])
    link = select(_JOBS.c.seq).join(_LEASES, _LEASES.c.job == _JOBS.c.seq).where(mine).order_by(_JOBS.c.seq)
    tx.connection.execute(tx.locked(link, _JOBS)).close()
    _free_up(tx, mine)


def revoke(tx: Transaction, number: int) -> None:
    """Take a job from whoever drives it: a person has decided otherwise."""
    _free_up(tx, _LEASES.c.job == number)


def wished(connection: Connection, owner: str) -> list[Job]:
    """Return the jobs of an owner that have a wish, oldest first."""
    mine = exists().where(_LEASES.c.job == _JOBS.c.seq, _LEASES.c.owner == owner)
    # Sorted here: an ORDER BY would tempt SQLite to walk through all jobs instead of the few with a wish.
    rows = connection.execute(select(_JOBS).where(_JOBS.c.wish.is_not(None), mine)).mappings()
    return [job_of(row) for row in sorted(rows, key=lambda row: row["seq"])]


def _free_up(tx: Transaction, condition: ColumnElement[bool]) -> int:
    gone = tx.connection.execute(delete(_LEASES).where(condition).returning(_LEASES.c.job)).scalars().all()
    if gone:
        tx.connection.execute(update(_JOBS).where(among(tx.connection, _JOBS.c.seq, gone)).values(leased=0))
    return len(gone)


def _sweep(tx: Transaction) -> None:
    """Free the jobs whose leases have expired. Mostly four looks at the end of an index."""
    times = {"now": tx.elapsed, "ahead": tx.elapsed + _AHEAD_S, "boot": tx.boot}
    numbers = tx.connection.execute(_EXPIRED, times).scalars().all()
    if numbers and tx.postgres:  # jobs before leases, as everywhere; what somebody works on is left to the next claim
        query = select(_JOBS.c.seq).where(among(tx.connection, _JOBS.c.seq, numbers)).order_by(_JOBS.c.seq)
        numbers = tx.connection.execute(tx.locked(query, _JOBS, skip=True)).scalars().all()
    if numbers:  # asked again, since a renewal may have come between
        _free_up(tx, among(tx.connection, _LEASES.c.job, numbers) & or_(*_expiries(**times)))


def _grant(tx: Transaction, owner: str, lease_s: float, numbers: Sequence[int]) -> dict[int, int]:
    mine = among(tx.connection, _JOBS.c.seq, numbers)
    values = select(
        _JOBS.c.seq,
        literal(owner, Text),
        literal(tx.boot, Text),
        literal(tx.elapsed, Float),
        literal(tx.elapsed + lease_s, Float),
    ).where(mine)
    granted = insert(_LEASES).from_select(["job", "owner", "boot", "since", "until"], values)
    rows = tx.connection.execute(granted.returning(_LEASES.c.job, _LEASES.c.token)).all()
    tx.connection.execute(update(_JOBS).where(mine).values(leased=1))
    return dict(rows)
