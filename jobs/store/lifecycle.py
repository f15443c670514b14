"""The life of a job in the store: every change of state, and what must happen in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from broker.errors import IllegalTransitionError, StoreError, UnknownNameError, UserError
from broker.jobs.codec import dump
from broker.jobs.records import EventKind, Wish
from broker.jobs.states import TERMINAL, JobKind, State, require
from broker.jobs.store import catalogue, experiments, journal, leasing, schema
from broker.jobs.store.decoding import CHANGEABLE, Row, columns_of, intent_of, job_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from broker.jobs.records import Handle, Intent, Job, Lease
    from broker.jobs.store.database import Transaction

_JOBS = schema.jobs
_INTENTS = schema.intents
_UPDATE = update(_JOBS).where(_JOBS.c.seq == bindparam("number"))
# A wish is fulfilled by these states and then forgotten, so that nobody acts on it twice.
_FULFILS = {
    State.PAUSED: {Wish.PAUSE},
    State.LOST: {Wish.PAUSE},
    State.QUEUED: {Wish.RESUME},
    State.RUNNING: {Wish.RESUME},
    **dict.fromkeys(TERMINAL, frozenset(Wish)),
}
_OF_ONE_ATTEMPT = (
    *("intent_key", "handle_provider", "handle_id", "wish", "model", "failure", "look", "remote_status"),
    *("cost_usd", "started_at", "finished_at"),
)
# The cost of such a job is that of all its stored answers, whichever attempt asked for them.
_COST_OF_ALL = {JobKind.SYNTHESIZE}
_ENDED_BADLY = {State.FAILED, State.CANCELLED, State.LOST}
_SETTLED = {State.RUNNING, State.FAILED, State.CANCELLED}


def transition(tx: Transaction, lease: Lease, to: State, data: Mapping[str, Any], changes: Mapping[str, Any]) -> Job:
    """Move a job that is driven to another state."""
    _require_changeable(changes)
    row = leasing.held(tx, lease)
    if to is State.QUEUED and row["state"] in _ENDED_BADLY:
        raise IllegalTransitionError(
            f"a {row['state']} job goes back to queued only as a new attempt", where=row["id"], fix="use `restart`"
        )
    if to is State.SUBMITTING and row["intent_key"] is None:
        raise IllegalTransitionError("nothing is sent without an intent", where=row["id"], fix="use `record_intent`")
    return _move(tx, row, to, data, changes)


def change(tx: Transaction, lease: Lease, changes: Mapping[str, Any]) -> Job:
    """Change fields of a job that is driven, but not its state."""
    _require_changeable(changes)
    row = leasing.held(tx, lease)
    if changes:
        _save(tx, row, changes)
    return replace(job_of(row), **changes)


def record_intent(tx: Transaction, lease: Lease, intent: Intent) -> Job:
    """Write what will be asked of a provider, with the state that says so, within the budget."""
    row = leasing.held(tx, lease)
    if intent.job_id != lease.job_id or intent.attempt != row["attempt"]:
        raise StoreError(
            f"the intent is of {intent.job_id}, attempt {intent.attempt}, not of attempt {row['attempt']}",
            where=lease.job_id,
        )
    of_attempt = (_INTENTS.c.job == row["seq"]) & (_INTENTS.c.attempt == intent.attempt)
    if tx.connection.execute(select(_INTENTS.c.key).where(of_attempt)).first():
        raise IllegalTransitionError(
            f"attempt {intent.attempt} has its intent already", where=lease.job_id, fix="settle that one by `find`"
        )
    values = {"key": intent.key, "job": row["seq"], "attempt": intent.attempt, "spec": dump(intent.spec)}
    tx.connection.execute(insert(_INTENTS).values(**values, created_at=tx.now, sends=0))
    if row["reserved_usd"]:
        experiments.require_budget(tx, row["experiment"])
    data = {"intent": intent.key, "attempt": intent.attempt}
    return _move(tx, row, State.SUBMITTING, data, {"intent_key": intent.key})


def count_send(tx: Transaction, lease: Lease, key: str, by: int) -> int:
    """Add to the sends of an intent; return the new number."""
    row = leasing.held(tx, lease)
    mine = (_INTENTS.c.key == key) & (_INTENTS.c.job == row["seq"])
    sends = tx.connection.execute(select(_INTENTS.c.sends).where(mine)).scalar()
    if sends is None:
        raise UnknownNameError(f"{lease.job_id} has no intent {key!r}")
    sends = max(0, int(sends) + by)
    changes: dict[str, Any] = {"sends": sends}
    if by > 0:
        changes["sent_at"] = tx.now
    elif sends == 0:
        changes["sent_at"] = None
    tx.connection.execute(update(_INTENTS).where(mine).values(**changes))
    return sends


def intent(connection: Connection, key: str) -> Intent:
    """Return an intent by its key."""
    query = select(_INTENTS, _JOBS.c.id.label("job_id")).join(_JOBS, _JOBS.c.seq == _INTENTS.c.job)
    row = connection.execute(query.where(_INTENTS.c.key == key)).mappings().one_or_none()
    if row is None:
        raise UnknownNameError(f"there is no intent {key!r}")
    return intent_of(row)


def intents(connection: Connection, job_id: str) -> list[Intent]:
    """Return the intents of a job, oldest first."""
    query = select(_INTENTS, _JOBS.c.id.label("job_id")).join(_JOBS, _JOBS.c.seq == _INTENTS.c.job)
    rows = connection.execute(query.where(_JOBS.c.id == job_id).order_by(_INTENTS.c.attempt)).mappings()
    return [intent_of(row) for row in rows]


def record_handle(tx: Transaction, lease: Lease, handle: Handle, data: Mapping[str, Any]) -> Job:
    """Write the provider's own id, with the state that says so."""
    told = {"handle": handle.id, "provider": handle.provider, **data}
    return _move(tx, leasing.held(tx, lease), State.RUNNING, told, {"handle": handle})


def restart(tx: Transaction, job_id: str) -> Job:
    """Begin a new attempt of a job that rests, within the budget."""
    row = _locked(tx, job_id)
    if row["state"] not in _ENDED_BADLY:
        raise IllegalTransitionError(
            f"only a failed, cancelled or lost job starts anew; this one is {row['state']}", where=row["id"]
        )
    leasing.revoke(tx, row["seq"])
    fresh: dict[str, Any] = {
        "attempt": row["attempt"] + 1,
        "earlier_usd": row["earlier_usd"] + (0.0 if row["kind"] in _COST_OF_ALL else _paid(row)),
        **dict.fromkeys(_OF_ONE_ATTEMPT),
        "result": {},
    }
    tx.connection.execute(_UPDATE, {"number": row["seq"], **fresh})
    job = _move(tx, _locked(tx, row["id"]), State.QUEUED, {"attempt": row["attempt"] + 1}, {}, before=row["state"])
    if row["reserved_usd"]:
        experiments.require_budget(tx, row["experiment"])
    return job


def wish(tx: Transaction, job_id: str, wanted: Wish | None) -> Job:
    """Note what a person wants; a job that has ended stays as it is."""
    row = _locked(tx, job_id)
    job = job_of(row)
    if job.wish == wanted or job.terminal:
        return job
    _save(tx, row, {"wish": wanted})
    journal.note(tx, job.id, EventKind.WISH, {"wish": wanted})
    return replace(job, wish=wanted)


def forget_wish(tx: Transaction, lease: Lease, done: Wish) -> Job:
    """Clear a wish that was acted on, unless it is another one by now."""
    row = leasing.held(tx, lease)
    if row["wish"] == done:
        _save(tx, row, {"wish": None})
        return replace(job_of(row), wish=None)
    return job_of(row)


def settle(tx: Transaction, job_id: str, to: State, handle: Handle | None, note: str) -> Job:
    """Let a person say what became of a lost job."""
    row = _locked(tx, job_id)
    if row["state"] != State.LOST or to not in _SETTLED:
        raise IllegalTransitionError(
            f"only a lost job is settled, as running, failed or cancelled; this one is {row['state']}, wanted is {to}",
            where=row["id"],
        )
    changes: dict[str, Any] = {"wish": None} if handle is None else {"wish": None, "handle": handle}
    if to is State.RUNNING and handle is None and row["handle_id"] is None:
        raise UserError("the provider's id of the job is missing", where=row["id"], fix="name it with --handle ID")
    leasing.revoke(tx, row["seq"])
    data = {"settled": True, **({"note": note} if note else {}), **({"handle": handle.id} if handle else {})}
    return _move(tx, row, to, data, changes)


def _move(
    tx: Transaction,
    row: Row,
    to: State,
    data: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    before: str | None = None,
) -> Job:
    job = job_of(row)
    now = State(before or job.state)
    try:
        require(job.kind, now, to)
    except IllegalTransitionError as error:
        raise IllegalTransitionError(error.message, where=job.id) from None
    changed = {"state": to, "updated_at": tx.now, **_follows(tx, job, to), **changes}
    _save(tx, row, changed)
    journal.note(tx, job.id, EventKind.STATE, {**data, "from": now, "to": to})
    if {now, to} & catalogue.DECIDES and (waiting := catalogue.waiting_for(tx, row["seq"])):
        catalogue.weigh(tx, waiting)
    return replace(job, **changed)


def _follows(tx: Transaction, job: Job, to: State) -> dict[str, Any]:
    """Return what a new state brings with it, unless the caller says otherwise."""
    brings: dict[str, Any] = {}
    if job.wish in _FULFILS.get(to, ()):
        brings["wish"] = None
    if to is State.RUNNING and job.started_at is None:
        brings["started_at"] = tx.now
    if to in TERMINAL:
        brings["finished_at"] = tx.now
    never_asked = job.kind is JobKind.TUNE and job.intent_key is None and job.handle is None
    if never_asked and to in (State.FAILED, State.CANCELLED) and job.cost_usd is None:
        brings["cost_usd"] = 0.0  # nothing was asked of a provider: the reservation is free again
    return brings


def _save(tx: Transaction, row: Row, changes: Mapping[str, Any]) -> None:
    tx.connection.execute(_UPDATE, {"number": row["seq"], **columns_of(changes, tx.redactor)})


def _locked(tx: Transaction, job_id: str) -> Any:
    query = tx.locked(select(_JOBS).where(_JOBS.c.id == job_id), _JOBS)
    row = tx.connection.execute(query).mappings().one_or_none()
    return row or _locked(tx, catalogue.row_of(tx.connection, job_id)["id"])


def _paid(row: Row) -> float:
    """Return what an attempt did cost, USD; where nobody knows and a provider was asked, what was reserved."""
    if row["cost_usd"] is not None:
        return float(row["cost_usd"])
    asked = row["intent_key"] is not None or row["handle_id"] is not None or row["kind"] != JobKind.TUNE
    return float(row["reserved_usd"]) if asked else 0.0


def _require_changeable(changes: Mapping[str, Any]) -> None:
    if unknown := set(changes) - CHANGEABLE:
        raise TypeError(f"fields of a job that cannot be changed this way: {', '.join(sorted(unknown))}")
