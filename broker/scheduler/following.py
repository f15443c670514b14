"""Follows the running jobs of one account: one poll for all of them, a few words in memory for each.

A hundred thousand jobs are followed by one process, so what is kept for a job is small, and its record is read again
from the store only when something changed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from anyio import Event, current_time, move_on_after

from broker.errors import LeaseLostError
from broker.jobs.blocking import blocking
from broker.jobs.records import Handle, Lease, NewEvent, Wish
from broker.jobs.states import State
from broker.providers.contract import Advice, Provider, RemoteState, RemoteStatus, Verdict
from broker.scheduler.ending import Ending
from broker.scheduler.parts import Held, Parts, read_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Events cost a request a job: each round looks at so many jobs in turn.
_EVENTS_A_ROUND = 16
# A job that its provider does not list for so many grace times is lost.
_MISSING_GRACES = 3.0
_SLOWEST_S = 120.0
_jitter = Random()


@dataclass(slots=True)
class Followed:
    """One running job, in few words."""

    job_id: str
    handle: Handle
    lease: Lease
    state: State
    raw: str | None = None
    cursor: str | None = None
    missing_since: float | None = None
    troubled: bool = False
    wish: Wish | None = None


class Follower:
    """Polls one account."""

    def __init__(self, parts: Parts, provider: Provider, done: Callable[[str], None]) -> None:
        """Begin with nothing to follow.

        Args:
            parts: What drivers share.
            provider: The account's provider.
            done: Called with the id of a job that needs no more following.
        """
        self._parts = parts
        self._provider = provider
        self._done = done
        self._capabilities = parts.accounts.capabilities(provider.name)
        self._jobs: dict[str, Followed] = {}
        self._turns: deque[str] = deque()
        self._wake = Event()
        self._failures = 0

    def __len__(self) -> int:
        """Return how many jobs are followed."""
        return len(self._jobs)

    def follow(self, held: Held) -> None:
        """Take over a job that its provider works on."""
        job = held.job
        assert job.handle is not None
        self._jobs[job.id] = Followed(
            job_id=job.id,
            handle=job.handle,
            lease=held.lease,
            state=job.state,
            raw=job.remote_status,
            troubled=job.look is not None,
            wish=job.wish,
        )
        self._turns.append(job.id)
        self._wake.set()

    def drop(self, job_id: str) -> None:
        """Stop following a job whose lease is lost."""
        self._jobs.pop(job_id, None)

    def renewed(self, lease: Lease) -> None:
        """Note a longer lease."""
        if lease.job_id in self._jobs:
            self._jobs[lease.job_id].lease = lease

    def wish(self, job_id: str, wish: Wish | None) -> None:
        """Note a person's wish; acted on in the next round."""
        if job_id in self._jobs and wish is not None:
            self._jobs[job_id].wish = wish
            self._wake.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            if not self._jobs:
                await self._sleep(None)
                continue
            await self._obey()
            await self._round()
            await self._sleep(self._pause_s())

    def _pause_s(self) -> float:
        base = min(_SLOWEST_S, self._capabilities.poll_s * 2 ** min(self._failures, 8))
        return float(base * (0.8 + 0.4 * _jitter.random()))

    async def _sleep(self, seconds: float | None) -> None:
        self._wake = Event()
        with move_on_after(seconds if seconds is not None else float("inf")):
            await self._wake.wait()

    async def _round(self) -> None:
        jobs = list(self._jobs.values())
        try:
            statuses = await self._provider.poll([job.handle for job in jobs])
        except Exception as error:  # a failed look, read by the provider's `classify`
            self._failures += 1
            await self._trouble(jobs, read_error(self._provider, error))
            return
        self._failures = 0
        for job in jobs:
            await self._guarded(job, statuses.get(job.handle.id))
        await self._some_events()
        await self._parts.flush()

    async def _guarded(self, job: Followed, status: RemoteStatus | None) -> None:
        try:
            await self._apply(job, status)
        except LeaseLostError:
            self.drop(job.job_id)
            self._done(job.job_id)

    async def _apply(self, job: Followed, status: RemoteStatus | None) -> None:
        if status is None:
            await self._missing(job)
            return
        job.missing_since = None
        if status.state is None:
            verdict = Verdict(
                advice=Advice.RETRY,
                code="unknown_status",
                message=f"{self._provider.name!r} says {status.raw!r}, which this version does not know",
                fix="the job is left as it is; a newer version of finetune-broker may know the word",
            )
            await self._trouble([job], verdict)
            return
        if status.raw == job.raw and not job.troubled and status.state is not RemoteState.INTERRUPTED:
            return
        await self._changed(job, status)

    async def _changed(self, job: Followed, status: RemoteStatus) -> None:
        held = await self._held(job)
        if status.state is RemoteState.INTERRUPTED:
            await self._go_on(job, held)
            return
        if status.state in (RemoteState.SUCCEEDED, RemoteState.FAILED, RemoteState.CANCELLED):
            await self._read_events(job)
        await Ending(self._parts, self._provider, held).apply(status)
        self._note(job, held, status.raw)

    async def _go_on(self, job: Followed, held: Held) -> None:
        """A local run stopped by accident: start it again from its last checkpoint."""
        try:
            await self._provider.resume(job.handle)
        except Exception as error:  # read by the provider's `classify`
            await self._parts.note_look(held, read_error(self._provider, error))
        job.raw = None

    async def _missing(self, job: Followed) -> None:
        now = current_time()
        job.missing_since = job.missing_since or now
        verdict = Verdict(
            advice=Advice.RETRY,
            code="not_listed",
            message=f"{self._provider.name!r} does not know the job {job.handle.id!r}",
            fix=f"check the account and the base URL; broker status {job.job_id} shows both",
        )
        await self._trouble([job], verdict)
        if now - job.missing_since > _MISSING_GRACES * max(self._capabilities.grace_s, 1.0):
            held = await self._held(job)
            await self._parts.transition(held, State.LOST, failure=held.job.look, data={"why": verdict.message})
            self._note(job, held, None)

    async def _trouble(self, jobs: Sequence[Followed], verdict: Verdict) -> None:
        """Record a failed look, once for each job and kind of trouble."""
        for job in [job for job in jobs if not job.troubled]:
            job.troubled = True
            try:
                await self._parts.note_look(await self._held(job), verdict)
            except LeaseLostError:
                self.drop(job.job_id)
                self._done(job.job_id)

    async def _held(self, job: Followed) -> Held:
        record = await blocking(self._parts.store.job, job.job_id)
        return Held(job=record, lease=job.lease)

    def _note(self, job: Followed, held: Held, raw: str | None) -> None:
        job.raw, job.state, job.troubled = raw, held.job.state, held.job.look is not None
        if held.job.resting:
            self.drop(job.job_id)
            self._done(job.job_id)

    async def _obey(self) -> None:
        for job in [job for job in self._jobs.values() if job.wish is not None or job.state is State.CANCELLING]:
            try:
                await self._obey_one(job)
            except LeaseLostError:
                self.drop(job.job_id)
                self._done(job.job_id)

    async def _obey_one(self, job: Followed) -> None:
        held = await self._held(job)
        wish, job.wish = job.wish, None
        if wish is Wish.RESUME or (wish is Wish.PAUSE and held.job.state is not State.RUNNING):
            await self._parts.update(held, wish=None)
            return
        asked = State.PAUSING if wish is Wish.PAUSE else State.CANCELLING
        if held.job.state is not asked:
            await self._parts.transition(held, asked, wish=None)
        job.state = asked
        await self._ask(job, held, asked)

    async def _ask(self, job: Followed, held: Held, asked: State) -> None:
        call = self._provider.pause if asked is State.PAUSING else self._provider.cancel
        try:
            await call(job.handle)
        except Exception as error:  # read by the provider's `classify`
            verdict = read_error(self._provider, error)
            await self._parts.note_look(held, verdict)
            if asked is State.PAUSING and verdict.advice is Advice.NEVER:
                await self._parts.transition(held, State.RUNNING, data={"why": verdict.message})
                job.state = State.RUNNING
        # The next poll tells what came of it, even if the raw word is the one seen before.
        job.raw = None

    async def _some_events(self) -> None:
        for _ in range(min(_EVENTS_A_ROUND, len(self._turns))):
            job_id = self._turns.popleft()
            if job_id in self._jobs:
                self._turns.append(job_id)
                await self._read_events(self._jobs[job_id])

    async def _read_events(self, job: Followed) -> None:
        try:
            async for event in self._provider.events(job.handle, job.cursor):
                job.cursor = event.id
                self._parts.events.append(
                    NewEvent(job_id=job.job_id, kind=event.kind, data=event.data, at=event.at, source_id=event.id)
                )
        except Exception as error:  # progress is not the state: noted, and read again next time
            await self._trouble([job], read_error(self._provider, error))
