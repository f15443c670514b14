"""What every part of the scheduler works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, Event, current_time

from broker.errors import LeaseLostError, StoreError
from broker.jobs.artifacts import Artifacts
from broker.jobs.blocking import blocking
from broker.jobs.records import EventKind, Failure, Job, Lease, NewEvent, Wish, Working
from broker.jobs.states import JobKind, State
from broker.jobs.store.protocol import Store
from broker.providers.accounts import Accounts
from broker.scheduler.reading import failure_of
from broker.settings import Settings
from broker.worker.pool import WorkerPool

if TYPE_CHECKING:
    from broker.jobs.spec import DatasetRef
    from broker.providers.contract import Verdict

# What must not be lost when the broker is told to stop is written within this time, seconds.
PERSIST_S = 15.0
# A lease with less than this share of its time left is renewed before money is spent under it.
_MARGIN = 0.2
# Where a provider works on the job and a follower looks after it.
WORKING = frozenset({State.RUNNING, State.PAUSING, State.CANCELLING})


def lease_now() -> float:
    """Return seconds on a clock that nobody sets and that goes on while the machine sleeps, as a server's does."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True, eq=False)
class Held:
    """A job that this broker drives.

    Attributes:
        job: As last written.
        lease: The right to drive it.
        until: When the lease may be over, on the clock of `lease_now`: never later than the store thinks.
        tenure: Cancelled when the lease is lost: the job is another's.
        scope: Cancelled to interrupt work that a person's wish makes needless.
        wished: Set when a person's wish was noted on the job.
        heard: The last wish that the driver was told of.
        sending: Around a creating call, while it is out: over when the lease is.
    """

    job: Job
    lease: Lease
    until: float = 0.0
    tenure: CancelScope = field(default_factory=CancelScope)
    scope: CancelScope = field(default_factory=CancelScope)
    wished: Event = field(default_factory=Event)
    heard: Wish | None = None
    sending: CancelScope | None = None

    def extend(self, until: float) -> None:
        """Note that the lease is good for longer."""
        self.until = until
        if self.sending is not None:
            self.sending.deadline = current_time() + until - lease_now()

    @contextmanager
    def tenured(self) -> Generator[CancelScope]:
        """Do something only for as long as the lease is certainly ours.

        A process that was stopped and wakes finds the time over before it goes on with what it was about to send.
        """
        self.sending = CancelScope(deadline=current_time() + self.until - lease_now())
        try:
            with self.sending as scope:
                yield scope
        finally:
            self.sending = None


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
    lease_s: float = 60.0
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    latest: dict[str, NewEvent] = field(default_factory=dict[str, NewEvent])

    async def transition(self, held: Held, to: State, *, data: dict[str, Any] | None = None, **changes: Any) -> Job:
        """Move a job to another state; finished when it returns, whatever is cancelled meanwhile."""
        with persisting(held.lease.job_id):
            await self.flush()
            held.job = await blocking(self.store.transition, held.lease, to, data=data, **changes)
        self.changed()
        return held.job

    async def update(self, held: Held, **changes: Any) -> Job:
        """Change fields of a job without changing its state."""
        held.job = await blocking(self.store.update, held.lease, **changes)
        self.changed()
        return held.job

    async def forget(self, held: Held, wish: Wish) -> Job:
        """Clear a wish that was acted on; one that came after it stays."""
        held.job = await blocking(self.store.forget_wish, held.lease, wish)
        self.changed()
        return held.job

    async def end(self, held: Held, to: State, **changes: Any) -> Job:
        """Move a job to one of its ends; money that was reserved and certainly not spent is free again."""
        changes.setdefault("finished_at", datetime.now(UTC))
        changes.setdefault("look", None)
        if "cost_usd" not in changes and held.job.cost_usd is None:
            changes["cost_usd"] = _unstated_cost(held.job, to)
        return await self.transition(held, to, **changes)

    async def fail(self, held: Held, failure: Failure, **changes: Any) -> Job:
        """End a job as failed, with its reason."""
        data = {"code": failure.code, "why": failure.message}
        return await self.end(held, State.FAILED, failure=failure, data=data, **changes)

    async def note_look(self, held: Held, verdict: Verdict) -> None:
        """Record a failed look beside the state; the same one is written once."""
        known = held.job.look
        if known is None or (known.code, known.message) != (verdict.code, verdict.message):
            await self.update(held, look=failure_of(verdict))

    async def assure(self, held: Held) -> None:
        """Make sure that the lease is good for a while, before something is sent that must be sent once.

        Raises:
            LeaseLostError: Somebody else drives the job now.
        """
        now = lease_now()
        if held.until - now > _MARGIN * self.lease_s:
            return
        kept, _ = await blocking(self.store.renew, [held.lease], lease_s=self.lease_s)
        if not kept:
            raise LeaseLostError("somebody else drives this job now; nothing was sent", where=held.lease.job_id)
        held.extend(now + self.lease_s)

    async def missing(self, *needed: DatasetRef | None) -> list[str]:
        """Return what stands against a job whose rows are not in the artifacts any more."""
        return [
            f"the rows of {ref.name!r} (sha256 {ref.sha256[:12]}…) are not in {self.data_dir / 'artifacts'} any more"
            for ref in needed
            if ref is not None and not await blocking(self.artifacts.has, ref.sha256)
        ]

    def progress(self, job_id: str, data: dict[str, Any]) -> None:
        """Note how far a job is; of several notes between two writes only the last is stored."""
        self.latest[job_id] = NewEvent(job_id=job_id, kind=EventKind.PROGRESS, data=data, at=datetime.now(UTC))

    async def flush(self) -> None:
        """Write the queued events."""
        if self.events or self.latest:
            events, latest = self.events, self.latest
            self.events, self.latest = [], {}
            try:
                await blocking(self.store.append_events, [*events, *latest.values()])
            except BaseException:  # not written: the last flush of all tries once more
                self.events[:0], self.latest = events, {**latest, **self.latest}
                raise
            self.changed()


@contextmanager
def persisting(job_id: str) -> Generator[None]:
    """Let a write end whatever is cancelled meanwhile, within `PERSIST_S`.

    Raises:
        StoreError: The time was not enough.
    """
    with CancelScope(shield=True, deadline=current_time() + PERSIST_S) as scope:
        yield
    if scope.cancelled_caught:
        what = f"the store did not take a write within {PERSIST_S:.0f} s"
        raise StoreError(what, where=job_id, fix="look at the disk, then start again")


def working_of(held: Held) -> Working:
    """Return what following needs of a job that was driven so far."""
    job = held.job
    assert job.handle is not None
    return Working(
        lease=held.lease,
        handle=job.handle,
        state=job.state,
        remote_status=job.remote_status,
        troubled=job.look is not None,
        wish=job.wish,
    )


def _unstated_cost(job: Job, to: State) -> float | None:
    """Return what a job did cost, USD, where its provider did not say; None: what is reserved stays reserved."""
    if to is State.SUCCEEDED:
        return job.reserved_usd
    # What was cancelled on the way may be billed for the part that was done, and so are answers.
    asked = job.handle is not None if job.kind is JobKind.TUNE else job.started_at is not None
    billed = to is State.CANCELLED or job.kind is not JobKind.TUNE
    return None if asked and billed and job.reserved_usd else 0.0
