"""Adding jobs and looking them up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, func, insert, not_, select, text, update

from broker.errors import UnknownNameError, UserError
from broker.jobs.codec import dump, load
from broker.jobs.records import EventKind, Job, NewJob, UsedRows
from broker.jobs.spec import DatasetRef, kind_of
from broker.jobs.states import JobKind, State
from broker.jobs.store import experiments, journal, schema
from broker.jobs.store.database import among
from broker.jobs.store.decoding import job_of
from broker.jobs.store.naming import NEAR, unknown_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.engine import Connection

    from broker.jobs.store.database import Transaction

_JOBS = schema.jobs
_DEPENDENCIES = schema.dependencies
_ENDED_BADLY = (State.FAILED, State.CANCELLED, State.LOST)
# A job waits for those that it depends on, until all have succeeded or one will not.
DECIDES = frozenset({State.SUCCEEDED, *_ENDED_BADLY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are meant; `None` is any."""

    experiment: str | None = None
    states: Iterable[State] | None = None
    kinds: Iterable[JobKind] | None = None
    providers: Iterable[str] | None = None
    handles: Iterable[str] | None = None
    ids: Iterable[str] | None = None
    wishes: Iterable[str] | None = None

    def conditions(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Return the conditions for a query over `jobs`."""
        lists = (
            (_JOBS.c.state, self.states),
            (_JOBS.c.kind, self.kinds),
            (_JOBS.c.provider, self.providers),
            (_JOBS.c.handle_id, self.handles),
            (_JOBS.c.id, self.ids),
            (_JOBS.c.wish, self.wishes),
        )
        found = [among(connection, of, [str(one) for one in values]) for of, values in lists if values is not None]
        return found if self.experiment is None else [_JOBS.c.experiment == self.experiment, *found]


def add(tx: Transaction, experiment: str, new: Sequence[NewJob]) -> list[Job]:
    """Store jobs as `queued` (as `running` where the provider has them already), all or none."""
    experiments.find(tx.connection, experiment)
    if not new:
        return []
    _require_order(new)
    tx.connection.execute(insert(_JOBS), [_row_of(tx, experiment, one) for one in new])
    numbers = _numbers(tx.connection, {one.id for one in new} | {need for one in new for need in one.depends_on})
    needs = [
        {"job": numbers[one.id], "needs": _known(numbers, need, one)}
        for one in new
        for need in dict.fromkeys(one.depends_on)
    ]
    if needs:
        tx.connection.execute(insert(_DEPENDENCIES), needs)
        weigh(tx, sorted({row["job"] for row in needs}))
    for first, ids in _by_first_state(new).items():
        journal.note_all(tx, ids, EventKind.STATE, {"from": None, "to": str(first)})
    if any(one.reserved_usd for one in new):
        experiments.require_budget(tx, experiment)
    rows = tx.connection.execute(
        select(_JOBS).where(among(tx.connection, _JOBS.c.id, [one.id for one in new]))
    ).mappings()
    found = {row["id"]: job_of(row) for row in rows}
    return [found[one.id] for one in new]


def weigh(tx: Transaction, numbers: Sequence[int]) -> None:
    """Work out anew whether jobs wait for others.

    Args:
        tx: The transaction.
        numbers: `seq` of the jobs.
    """
    mine = among(tx.connection, _JOBS.c.seq, numbers)
    if tx.postgres:  # two that end at once must see each other's end before the last of them decides
        tx.connection.execute(tx.locked(select(_JOBS.c.seq).where(mine).order_by(_JOBS.c.seq), _JOBS))
    needed = _JOBS.alias("needed")
    link = (
        select(_DEPENDENCIES.c.needs)
        .join(needed, needed.c.seq == _DEPENDENCIES.c.needs)
        .where(_DEPENDENCIES.c.job == _JOBS.c.seq)
    )
    ended_badly = exists(link.where(needed.c.state.in_(_ENDED_BADLY)))
    open_still = exists(link.where(needed.c.state != State.SUCCEEDED))
    tx.connection.execute(update(_JOBS).where(mine).values(blocked=case((ended_badly, 0), (open_still, 1), else_=0)))


def waiting_for(tx: Transaction, number: int) -> list[int]:
    """Return the `seq` of the jobs that depend on one."""
    query = select(_DEPENDENCIES.c.job).where(_DEPENDENCIES.c.needs == number)
    return sorted(tx.connection.execute(query).scalars())


def find(connection: Connection, id_or_prefix: str) -> Job:
    """Return a job by its id or a unique beginning of it."""
    return job_of(row_of(connection, id_or_prefix))


def row_of(connection: Connection, id_or_prefix: str) -> Any:
    """Return the row of a job by its id or a unique beginning of it."""
    beginning = (_JOBS.c.id >= id_or_prefix) & (_JOBS.c.id < id_or_prefix + "\U0010ffff")
    rows = connection.execute(select(_JOBS).where(beginning).order_by(_JOBS.c.id).limit(4)).mappings().all()
    if rows and id_or_prefix and (len(rows) == 1 or rows[0]["id"] == id_or_prefix):
        return rows[0]
    newest = connection.execute(select(_JOBS.c.id).order_by(_JOBS.c.seq.desc()).limit(NEAR)).scalars().all()
    raise unknown_job(id_or_prefix, [row["id"] for row in rows], newest)


def search(connection: Connection, wanted: Filter, *, newest_first: bool, limit: int | None, offset: int) -> list[Job]:
    """Return the jobs that fit, by age."""
    order = _JOBS.c.seq.desc() if newest_first else _JOBS.c.seq
    query: Select[Any] = select(_JOBS).where(*wanted.conditions(connection)).order_by(order)
    if limit is not None or offset:
        # SQLite has no OFFSET without LIMIT; PostgreSQL's numbers end here.
        query = query.limit((1 << 63) - 1 if limit is None else limit).offset(offset)
    return [job_of(row) for row in connection.execute(query).mappings()]


def has_work(connection: Connection, provider: str) -> bool:
    """Say whether an account has a job that is not resting, or rests with a wish."""
    query = select(_JOBS.c.seq).where(_JOBS.c.provider == provider, text(schema.ACTIVE)).limit(1)
    return connection.execute(query).first() is not None


def accounts_at_work(connection: Connection) -> list[str]:
    """Return every account that has a job which is not resting, or rests with a wish."""
    # One step through the index for each account, however many jobs there are.
    found: list[str] = []
    while True:
        after = _JOBS.c.provider > (found[-1] if found else "")
        query = select(func.min(_JOBS.c.provider)).where(text(schema.ACTIVE), after)
        name = connection.execute(query).scalar()
        if name is None:
            return found
        found.append(str(name))


def count(connection: Connection, experiment: str | None) -> dict[State, int]:
    """Return how many jobs are in each state that occurs."""
    query = select(_JOBS.c.state, func.count()).group_by(_JOBS.c.state)
    if experiment is not None:
        query = query.where(_JOBS.c.experiment == experiment)
    return {State(state): int(number) for state, number in connection.execute(query)}


def used_rows(connection: Connection) -> list[UsedRows]:
    """Return the different sets that tuning jobs were given, each with the first of its jobs."""
    return [*_used(connection, "train"), *_used(connection, "validation")]


def _used(connection: Connection, part: str) -> list[UsedRows]:
    """Return the sets of one part of the specs; the database groups them, however many jobs there are."""
    sha256 = _JOBS.c.spec[part, "sha256"].as_string()
    extra = _JOBS.c.spec[part, "extra_sha256"].as_string()
    none = and_(_JOBS.c.state.in_((State.FAILED, State.CANCELLED)), _JOBS.c.model.is_(None))
    query = (
        select(func.min(_JOBS.c.seq).label("first"), func.count().label("jobs"))
        .where(_JOBS.c.kind == JobKind.TUNE, sha256.is_not(None), not_(none))
        .group_by(sha256, extra)
    )
    counts = {first: jobs for first, jobs in connection.execute(query)}  # noqa: C416 - typed as a pair
    rows = connection.execute(select(_JOBS).where(among(connection, _JOBS.c.seq, sorted(counts))).order_by(_JOBS.c.seq))
    return [
        UsedRows(
            data=load(DatasetRef, row["spec"][part]),
            watched=part == "validation",
            job_id=row["id"],
            experiment=row["experiment"],
            jobs=counts[row["seq"]],
        )
        for row in rows.mappings()
    ]


def _row_of(tx: Transaction, experiment: str, new: NewJob) -> dict[str, Any]:
    return {
        "id": new.id,
        "kind": kind_of(new.spec),
        "experiment": experiment,
        "provider": new.spec.provider,
        "state": _first_state(new),
        "handle_provider": new.handle.provider if new.handle else None,
        "handle_id": new.handle.id if new.handle else None,
        "started_at": tx.now if new.handle else None,
        "label": tx.redactor.text(new.label),
        "attempt": 1,
        "priority": new.priority,
        "reserved_usd": new.reserved_usd,
        "earlier_usd": 0.0,
        "created_at": tx.now,
        "updated_at": tx.now,
        "depends_on": list(new.depends_on),
        "spec": dump(new.spec),
        "result": {},
        "blocked": 0,
        "leased": 0,
    }


def _first_state(new: NewJob) -> State:
    return State.QUEUED if new.handle is None else State.RUNNING


def _by_first_state(new: Sequence[NewJob]) -> dict[State, list[str]]:
    found: dict[State, list[str]] = {}
    for one in new:
        found.setdefault(_first_state(one), []).append(one.id)
    return found


def _require_order(new: Sequence[NewJob]) -> None:
    try:
        TopologicalSorter({one.id: set(one.depends_on) for one in new}).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise UserError(f"these jobs wait for each other: {circle}", fix="take one of the dependencies out") from None


def _numbers(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    query = select(_JOBS.c.id, _JOBS.c.seq).where(among(connection, _JOBS.c.id, sorted(ids)))
    return {key: value for key, value in connection.execute(query)}  # noqa: C416 - typed as a pair


def _known(numbers: dict[str, int], need: str, job: NewJob) -> int:
    if need not in numbers:
        raise UnknownNameError(f"there is no job {need!r}, which this one depends on", where=job.id)
    return numbers[need]
