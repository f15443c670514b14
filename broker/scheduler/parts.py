"""What every part of the scheduler works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import CancelScope, Event, current_time

from broker.errors import BrokerError
from broker.jobs.artifacts import Artifacts
from broker.jobs.blocking import blocking
from broker.jobs.records import EventKind, Failure, Job, Lease, NewEvent
from broker.jobs.states import State
from broker.jobs.store.protocol import Store
from broker.providers.accounts import Accounts
from broker.providers.contract import Advice, Provider, Verdict
from broker.settings import Settings
from broker.worker.pool import WorkerPool

# What must not be lost when the broker is told to stop is written within this time, seconds.
PERSIST_S = 15.0


@dataclass(slots=True)
class Held:
    """A job that this broker drives.

    Attributes:
        job: As last written.
        lease: The right to drive it.
        scope: Cancelled to interrupt the driving (a wish, a lost lease).
        wished: Set when a person's wish was noted on the job.
    """

    job: Job
    lease: Lease
    scope: CancelScope = field(default_factory=CancelScope)
    wished: Event = field(default_factory=Event)


@dataclass(slots=True)
class Parts:
    """The parts that the drivers share."""

    store: Store
    accounts: Accounts
    artifacts: Artifacts
    workers: WorkerPool
    settings: Settings
    data_dir: Path
    changed: Callable[[], None] = lambda: None
    events: list[NewEvent] = field(default_factory=list)
    latest: dict[str, NewEvent] = field(default_factory=dict)

    async def transition(self, held: Held, to: State, *, data: dict[str, Any] | None = None, **changes: Any) -> Job:
        """Move a job to another state; finished when it returns, whatever is cancelled meanwhile."""
        with CancelScope(shield=True, deadline=current_time() + PERSIST_S):
            await self.flush()
            held.job = await blocking(self.store.transition, held.lease, to, data=data, **changes)
        self.changed()
        return held.job

    async def update(self, held: Held, **changes: Any) -> Job:
        """Change fields of a job without changing its state."""
        held.job = await blocking(self.store.update, held.lease, **changes)
        self.changed()
        return held.job

    async def end(self, held: Held, to: State, **changes: Any) -> Job:
        """Move a job to one of its ends; money that was reserved and not spent is free again."""
        changes.setdefault("finished_at", datetime.now(UTC))
        changes.setdefault("wish", None)
        changes.setdefault("look", None)
        if "cost_usd" not in changes and held.job.cost_usd is None:
            changes["cost_usd"] = 0.0 if to is not State.SUCCEEDED else held.job.reserved_usd
        return await self.transition(held, to, **changes)

    async def fail(self, held: Held, failure: Failure) -> Job:
        """End a job as failed, with its reason."""
        return await self.end(held, State.FAILED, failure=failure, data={"code": failure.code, "why": failure.message})

    async def note_look(self, held: Held, verdict: Verdict) -> None:
        """Record a failed look beside the state; the same one is written once."""
        known = held.job.look
        if known is None or (known.code, known.message) != (verdict.code, verdict.message):
            await self.update(held, look=failure_of(verdict))

    def progress(self, job_id: str, data: dict[str, Any]) -> None:
        """Note how far a job is; of several notes between two writes only the last is stored."""
        self.latest[job_id] = NewEvent(job_id=job_id, kind=EventKind.PROGRESS, data=data, at=datetime.now(UTC))

    async def flush(self) -> None:
        """Write the queued events."""
        if self.events or self.latest:
            batch = [*self.events, *self.latest.values()]
            self.events, self.latest = [], {}
            await blocking(self.store.append_events, batch)
            self.changed()


def failure_of(verdict: Verdict) -> Failure:
    """Return a verdict as the store keeps it."""
    return Failure(code=verdict.code, message=verdict.message, fix=verdict.fix, at=datetime.now(UTC))


def read_error(provider: Provider | None, error: Exception) -> Verdict:
    """Read an exception: our own errors speak for themselves, the provider reads its SDK's.

    Args:
        provider: Whose call raised it, if one was open.
        error: The exception.

    Returns:
        What to do and what to say.
    """
    if isinstance(error, BrokerError) and (provider is None or not _is_provider_error(error)):
        code = type(error).__name__.removesuffix("Error").lower()
        return Verdict(advice=Advice.NEVER, code=code, message=error.message, fix=error.fix)
    if provider is None:
        return Verdict(advice=Advice.NEVER, code="unexpected", message=f"{type(error).__name__}: {error}")
    return provider.classify(error)


def _is_provider_error(error: BrokerError) -> bool:
    from broker.errors import ProviderError

    return isinstance(error, ProviderError)
