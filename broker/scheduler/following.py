"""Follows the running jobs of one account: one poll for all of them, a few words in memory for each.

A hundred thousand jobs are followed by one process, so what is kept for a job is small, its record is read again from
the store only when something changed, and the event loop is let go between the many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from anyio import Event, current_time, move_on_after
from anyio.lowlevel import checkpoint

from broker.errors import LeaseLostError, StoreError, UnknownNameError
from broker.jobs.blocking import blocking
from broker.jobs.records import EventKind, Failure, NewEvent, Wish, Working
from broker.jobs.states import State
from broker.providers.contract import Advice, Provider, RemoteState, RemoteStatus, Verdict
from broker.scheduler.ending import Ending
from broker.scheduler.followed import Followed, followed
from broker.scheduler.parts import Held, Parts
from broker.scheduler.reading import failure_of, read_error
from broker.scheduler.steering import Steering, later

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from broker.providers.contract import RemoteEvent

# Events cost a request a job: each round looks at so many jobs in turn.
_EVENTS_A_ROUND = 16
_EVENTS_A_WRITE = 500
# A job that its provider does not list for so many grace times, and at so many looks, is lost.
_MISSING_GRACES, _MISSING_LOOKS = 3.0, 4
_SLOWEST_S = 120.0
# When the whole account cannot be looked at, so many of its jobs are told of it a round.
_TOLD_A_ROUND = 100
# The event loop is let go after so many jobs.
_AT_A_STRETCH = 2000
# Starting an interrupted job again is given up after so many times without one more step between.
_REVIVALS = 5
_ENDS = frozenset({RemoteState.SUCCEEDED, RemoteState.FAILED, RemoteState.CANCELLED})
_jitter = Random()


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
        self._steering = Steering(parts, provider)
        self._jobs: dict[str, Followed] = {}
        self._turns: deque[Followed] = deque()
        self._wake = Event()
        self._failures = 0
        self._rest_s = 0.0

    def __len__(self) -> int:
        """Return how many jobs are followed."""
        return len(self._jobs)

    def __contains__(self, job_id: str) -> bool:
        """Say whether a job is followed."""
        return job_id in self._jobs

    def follow(self, job: Working) -> None:
        """Take over a job that its provider works on."""
        taken = followed(job)
        self._jobs[taken.job_id] = taken
        self._turns.append(taken)
        # One more beside others waits for their next poll: else a thousand submits would be a thousand polls.
        if len(self._jobs) == 1 or taken.wish is not None:
            self._wake.set()

    def drop(self, job_id: str) -> None:
        """Stop following a job whose lease is lost."""
        self._jobs.pop(job_id, None)

    def wish(self, job_id: str, wish: Wish | None) -> None:
        """Note a person's wish; acted on at once."""
        job = self._jobs.get(job_id)
        if job is not None and wish is not None and job.heard is not wish:
            job.wish = job.heard = wish
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
        return float(max(base * (0.8 + 0.4 * _jitter.random()), self._rest_s))

    async def _sleep(self, seconds: float | None) -> None:
        if self._wake.is_set():
            self._wake = Event()
            return
        with move_on_after(seconds if seconds is not None else float("inf")):
            await self._wake.wait()
        self._wake = Event()

    async def _round(self) -> None:
        jobs = list(self._jobs.values())
        self._rest_s = 0.0
        try:
            statuses = await self._provider.poll([job.handle for job in jobs])
        except StoreError:
            raise
        except Exception as error:  # a failed look, read by the provider's `classify`
            await self._unseen(jobs, read_error(self._provider, error))
            return
        self._failures = 0
        await self._apply_all(jobs, statuses)
        await self._some_events()
        await self._parts.flush()

    async def _unseen(self, jobs: Sequence[Followed], verdict: Verdict) -> None:
        """Note that the account cannot be looked at, on some of its jobs a round: they all say the same."""
        self._failures += 1
        self._rest_s = min(verdict.after_s or 0.0, _SLOWEST_S)
        untold = (job for job in jobs if not job.troubled)
        for job, _ in zip(untold, range(_TOLD_A_ROUND), strict=False):
            await self._guarded(self._trouble, job, verdict)

    async def _apply_all(self, jobs: Sequence[Followed], statuses: Mapping[str, RemoteStatus]) -> None:
        for number, job in enumerate(jobs):
            if number % _AT_A_STRETCH == 0:
                await checkpoint()
            status = statuses.get(job.handle.id)
            # Nothing new is the rule, and must cost next to nothing.
            if status is None or status.raw != job.raw or job.troubled or status.state is RemoteState.INTERRUPTED:
                await self._guarded(self._apply, job, status)
            elif job.care is not None:
                job.care.misses = 0

    async def _guarded(self, work: Callable[..., Awaitable[None]], job: Followed, *more: object) -> None:
        """Do something about one job; what goes wrong with it is its own matter, and never its neighbours'."""
        if self._jobs.get(job.job_id) is not job:
            return
        try:
            await work(job, *more)
        except LeaseLostError:
            self._let_go(job)
        except StoreError:
            raise
        except Exception as error:  # one broken job must not stop the others that are followed
            await self._broken(job, read_error(None, error))

    async def _broken(self, job: Followed, verdict: Verdict) -> None:
        try:
            await self._trouble(job, verdict)
        except (LeaseLostError, UnknownNameError):
            self._let_go(job)

    def _let_go(self, job: Followed) -> None:
        if self._jobs.get(job.job_id) is job:
            del self._jobs[job.job_id]
            self._done(job.job_id)

    async def _apply(self, job: Followed, status: RemoteStatus | None) -> None:
        if status is None:
            await self._missing(job)
            return
        if job.care is not None:
            job.care.misses = 0
        if status.state is None:
            verdict = Verdict(
                advice=Advice.RETRY,
                code="unknown_status",
                message=f"{self._provider.name!r} says {status.raw!r}, which this version does not know",
                fix="the job is left as it is; a newer version of finetune-broker may know the word",
            )
            await self._trouble(job, verdict)
        elif status.state is RemoteState.INTERRUPTED:
            await self._go_on(job)
        else:
            await self._changed(job, status)

    async def _changed(self, job: Followed, status: RemoteStatus) -> None:
        held = await self._held(job)
        if status.state in _ENDS:
            await self._read_events(job)
        await Ending(self._parts, self._provider, held).apply(status)
        self._note(job, held, status.raw)

    async def _go_on(self, job: Followed) -> None:
        """A local run stopped by accident: start it again from its last checkpoint, but not for ever."""
        care = job.cared()
        if job.state is not State.RUNNING or current_time() < care.revive_at:
            return
        before = care.step
        await self._read_events(job)
        care.revivals = 1 if care.step > before else care.revivals + 1
        care.revive_at = later(care.revivals, self._capabilities.poll_s)
        held = await self._held(job)
        if care.revivals > _REVIVALS:
            await self._parts.fail(held, _stopped(held))
            self._note(job, held, None)
            return
        # A write under the lease first: who lost it must not start what another broker has started.
        await self._parts.update(held, remote_status=RemoteState.INTERRUPTED)
        try:
            await self._provider.resume(job.handle)
        except StoreError:
            raise
        except Exception as error:  # read by the provider's `classify`
            await self._parts.note_look(held, read_error(self._provider, error))
        self._note(job, held, None)

    async def _missing(self, job: Followed) -> None:
        care, now = job.cared(), current_time()
        care.missing_since = care.missing_since if care.misses else now
        care.misses += 1
        verdict = Verdict(
            advice=Advice.RETRY,
            code="not_listed",
            message=f"{self._provider.name!r} does not know the job {job.handle.id!r}",
            fix=f"check the account and the base URL; if it is there after all: "
            f"broker adopt {job.handle.id} --job {job.job_id}",
        )
        await self._trouble(job, verdict)
        patience_s = _MISSING_GRACES * max(self._capabilities.grace_s, 1.0)
        if care.misses >= _MISSING_LOOKS and now - care.missing_since > patience_s:
            held = await self._held(job)
            why = {"why": verdict.message}
            await self._parts.transition(held, State.LOST, failure=failure_of(verdict), data=why)
            self._note(job, held, None)

    async def _trouble(self, job: Followed, verdict: Verdict) -> None:
        """Record a failed look, once for each kind of trouble in a row."""
        if not job.troubled:
            await self._parts.note_look(await self._held(job), verdict)
            job.troubled = True

    async def _held(self, job: Followed) -> Held:
        record = await blocking(self._parts.store.job, job.job_id)
        return Held(job=record, lease=job.lease)

    def _note(self, job: Followed, held: Held, raw: str | None) -> None:
        job.raw, job.state, job.troubled = raw, held.job.state, held.job.look is not None
        if held.job.resting:
            self._let_go(job)

    async def _obey(self) -> None:
        for job in [job for job in self._jobs.values() if self._steering.due(job)]:
            await self._guarded(self._steer, job)

    async def _steer(self, job: Followed) -> None:
        await self._steering.steer(job, await self._held(job))

    async def _some_events(self) -> None:
        for _ in range(min(_EVENTS_A_ROUND, len(self._turns))):
            job = self._turns.popleft()
            if self._jobs.get(job.job_id) is job:
                self._turns.append(job)
                await self._guarded(self._read_events, job)

    async def _read_events(self, job: Followed) -> None:
        if job.care is not None and current_time() < job.care.listen_at:
            return
        try:
            async with aclosing(self._events_of(job)) as events:
                async for event in events:
                    await self._take(job, event)
        except StoreError:
            raise
        except Exception as error:  # progress is not the state: read again later, and less and less often
            care = job.cared()
            care.deaf += 1
            care.listen_at = later(care.deaf, self._capabilities.poll_s)
            if care.deaf == 1:
                await self._trouble(job, read_error(self._provider, error))
        else:
            if job.care is not None:
                job.care.deaf = 0

    def _may_stop(self, job: Followed) -> bool:
        return job.care is not None or not self._capabilities.remote

    async def _events_of(self, job: Followed) -> AsyncGenerator[RemoteEvent, None]:
        stream = self._provider.events(job.handle, job.cursor)
        try:
            async for event in stream:
                yield event
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def _take(self, job: Followed, event: RemoteEvent) -> None:
        job.cursor = event.id
        step = event.data.get("step")
        if event.kind is EventKind.PROGRESS and isinstance(step, int | float) and self._may_stop(job):
            care = job.cared()
            care.step = max(care.step, step)
        self._parts.events.append(
            NewEvent(job_id=job.job_id, kind=event.kind, data=event.data, at=event.at, source_id=event.id)
        )
        if len(self._parts.events) >= _EVENTS_A_WRITE:
            await self._parts.flush()


def _stopped(held: Held) -> Failure:
    """Return why a job is given up that stops again and again."""
    what = f"it stopped {_REVIVALS + 1} times and was not one step further each time it went on"
    fix = f"broker logs {held.job.id} tells where it stopped; broker resume {held.job.id} begins anew"
    look = held.job.look
    if look is not None:
        what, fix = f"{what}; the last time: {look.message}", look.fix or fix
    return Failure(code="interrupted", message=what, fix=fix, at=datetime.now(UTC))
