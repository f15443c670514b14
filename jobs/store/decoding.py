"""Rows to records and back. Knows the columns' names, but no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from broker.jobs.records import Event, EventKind, Experiment, Failure, Handle, Intent, Job, Wish
from broker.jobs.spec import SPEC_TYPES, Decoding, ModelRef, TuneSpec
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from broker.jobs.store.redaction import Redactor

T = TypeVar("T")
# The columns of one row by name, JSON and times already decoded.
Row = Mapping[Any, Any]
# What nobody may change by `changes`: it is fixed at birth or moved by its own method.
_FIXED = {
    "id",
    "kind",
    "experiment",
    "spec",
    "state",
    "created_at",
    "updated_at",
    "attempt",
    "depends_on",
    "intent_key",
}
CHANGEABLE = frozenset(field.name for field in fields(Job)) - _FIXED
_MESSAGES = {"failure", "look"}
_PLAIN_JSON = {"spec", "model", "result", "depends_on"}
_TEXTS = {"label", "remote_status"}


class Reader(Protocol):
    """Builds a record from JSON data."""

    def __call__(self, kind: type[T], data: Any) -> T:
        """Return the record."""
        ...


def checked(kind: type[T], data: Any) -> T:
    """Build a record from JSON data and check it on the way."""
    from broker.jobs.codec import load

    return load(kind, data)


def job_of(row: Row, read: Reader = checked) -> Job:
    """Build a job.

    Args:
        row: The columns of `jobs`, JSON and times already decoded.
        read: Reads the JSON parts.
    """
    kind = JobKind(row["kind"])
    handle = None
    if row["handle_id"] is not None:
        handle = Handle(provider=row["handle_provider"], id=row["handle_id"])
    return Job(
        id=row["id"],
        kind=kind,
        experiment=row["experiment"],
        spec=read(SPEC_TYPES[kind], row["spec"]),
        state=State(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        label=row["label"],
        attempt=row["attempt"],
        priority=row["priority"],
        depends_on=tuple(row["depends_on"]),
        intent_key=row["intent_key"],
        handle=handle,
        wish=Wish(row["wish"]) if row["wish"] else None,
        model=read(ModelRef, row["model"]) if row["model"] else None,
        failure=read(Failure, row["failure"]) if row["failure"] else None,
        look=read(Failure, row["look"]) if row["look"] else None,
        remote_status=row["remote_status"],
        reserved_usd=row["reserved_usd"],
        cost_usd=row["cost_usd"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        result=row["result"],
    )


def columns_of(changes: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return the columns of `jobs` for changed fields of a job.

    Args:
        changes: Field names of `Job` and their new values.
        redactor: Keeps secrets out of messages.
    """
    from broker.jobs.codec import dump

    columns: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "handle":
            columns["handle_provider"] = value.provider if value else None
            columns["handle_id"] = value.id if value else None
        elif value is None:
            columns[name] = None
        elif name in _MESSAGES:
            columns[name] = redactor.message(dump(value))
        elif name in _PLAIN_JSON:
            columns[name] = dump(value)
        else:
            columns[name] = redactor.text(value) if name in _TEXTS else value
    return columns


def event_of(row: Row) -> Event:
    """Build an event from the columns of `events`."""
    return Event(seq=row["seq"], job_id=row["job_id"], kind=EventKind(row["kind"]), at=row["at"], data=row["data"])


def experiment_of(row: Row, read: Reader = checked) -> Experiment:
    """Build an experiment from the columns of `experiments`."""
    return Experiment(
        name=row["name"],
        created_at=row["created_at"],
        validation_sha256=row["validation_sha256"],
        budget_usd=row["budget_usd"],
        decoding=read(Decoding, row["decoding"]),
        notes=row["notes"],
    )


def intent_of(row: Row, read: Reader = checked) -> Intent:
    """Build an intent from the columns of `intents` and the job's `job_id`."""
    return Intent(
        key=row["key"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        spec=read(TuneSpec, row["spec"]),
        created_at=row["created_at"],
        sends=row["sends"],
        sent_at=row["sent_at"],
    )
