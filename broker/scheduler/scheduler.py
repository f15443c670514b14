"""Claims jobs, drives each through its life, renews the leases, and lets go cleanly."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, Event, create_task_group, current_time, move_on_after

from broker.errors import LeaseLostError, StoreError
from broker.jobs.blocking import blocking
from broker.jobs.records import Job, Lease, Wish, Working
from broker.jobs.states import JobKind
from broker.scheduler.driving import drive
from broker.scheduler.following import Follower
from broker.scheduler.leases import Leases
from broker.scheduler.opening import Opening
from broker.scheduler.parts import PERSIST_S, WORKING, Held, Parts, lease_now, working_of
from broker.scheduler.reading import telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from broker.providers.contract import Provider

# Remote jobs being prepared or submitted at once, per account.
_STARTING = 512
_CLAIM_BATCH = 500
# Kinds of jobs that only ask.
_ASKERS = (JobKind.EVALUATE, JobKind.SYNTHESIZE)
_WORKING_BATCH = 20_000
# Running jobs are gathered for this long at most before those that were found are looked at, seconds.
_FIRST_POLL_S = 1.0
# A job that its driver leaves as it found it is tried again after so many seconds, doubled each time.
_LINGER_S, _LONGEST_LINGER_S = 2.0, 120.0


class Scheduler:
    """Drives every job of the accounts that this process can open."""

    def __init__(self, parts: Parts, *, lease_s: float = 60.0, look_s: float = 0.5) -> None:
        """Prepare to drive.

        Args:
            parts: What drivers share.
            lease_s: Seconds for which a job is ours without renewal.
            look_s: Seconds between two looks for new jobs and wishes.
        """
        self._parts = parts
        self._lease_s = parts.lease_s = lease_s
        self._look_s = look_s
        self._leases = Leases(parts.store, lease_s, kept=self._kept, lost=self._lost)
        self._opening = Opening(parts, self._leases.owner)
        self._held: dict[str, Held] = {}
        self._followers: dict[str, Follower] = {}
        self._busy: Counter[tuple[str, bool]] = Counter()
        self._searched: dict[str, float] = {}
        self._lingers: Counter[str] = Counter()
        self._held_up: set[str] = set()  # accounts where a tuning job waits for the evaluations that run
        self._more = Event()

    @property
    def owner(self) -> str:
        """Return the name under which this process holds its leases."""
        return self._leases.owner

    def poke(self) -> None:
        """Look for jobs and wishes at once."""
        self._more.set()

    async def run(self) -> None:
        """Drive until cancelled; then give every lease back.

        Raises:
            StoreError: The store or the disk failed. What was stored is intact; the next start goes on from there.
        """
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._renew_leases)
                tasks.start_soon(self._flush_events)
                await self._look_for_work(tasks)
        except BaseExceptionGroup as group:
            raise telling(group) from None
        finally:
            # A disk that is full was told of already, and leases run out by themselves.
            with CancelScope(shield=True, deadline=current_time() + PERSIST_S), suppress(StoreError):
                await self._leases.release_all()
                await self._parts.flush()

    async def _look_for_work(self, tasks: TaskGroup) -> None:
        while True:
            self._more = Event()
            await self._leases.freshen()
            await self._leases.flush()
            await self._hear_wishes()
            claimed = 0
            for provider in await self._opening.providers():
                claimed += await self._claim(provider, tasks)
            if not claimed:
                with move_on_after(self._look_s):
                    await self._more.wait()

    async def _claim(self, provider: Provider, tasks: TaskGroup) -> int:
        total = await self._claim_working(provider, tasks)
        for kinds, room in self._room(provider):
            # Without room, what somebody wants to stop is taken all the same.
            wishes = None if room > 0 else (Wish.CANCEL, Wish.PAUSE)
            total += await self._take(provider, kinds, room if room > 0 else _CLAIM_BATCH, wishes, tasks)
        return total

    async def _claim_working(self, provider: Provider, tasks: TaskGroup) -> int:
        """Follow what its provider works on already, whoever sent it, however many: once here, and now and then."""
        name = provider.name
        if current_time() < self._searched.get(name, 0.0):
            return 0
        found: list[Working] = []
        limit, enough = _WORKING_BATCH, current_time() + _FIRST_POLL_S
        self._searched[name] = current_time() + self._lease_s / 3
        while taken := await blocking(
            self._parts.store.claim_working, self.owner, lease_s=self._lease_s, limit=limit, provider=name
        ):
            found += [job for job in taken if self._leases.add(job.lease)]
            if len(taken) < limit:
                break
            if current_time() > enough:  # the rest comes at the next look
                self._searched.pop(name)
                break
        # All at once, so that the first poll is one for all of them.
        for job in found:
            if job.lease.job_id in self._leases:
                self._follower(provider, tasks).follow(job)
        return len(found)

    def _room(self, provider: Provider) -> list[tuple[tuple[JobKind, ...], int]]:
        name = provider.name
        capabilities = self._parts.accounts.capabilities(name)
        followed = len(self._followers[name]) if name in self._followers else 0
        asking, starting = self._busy[name, True], self._busy[name, False]
        if not capabilities.remote:
            room = (capabilities.concurrency or 1) - asking - starting - followed
            if not asking:
                self._held_up.discard(name)
            elif room <= 0 and not starting and not followed and name not in self._held_up:
                room = min(1, capabilities.asking - asking)
            return [((JobKind.TUNE, *_ASKERS), room)]
        tuning = _STARTING - starting
        if capabilities.concurrency is not None:
            tuning = min(tuning, capabilities.concurrency - starting - followed)
        return [((JobKind.TUNE,), tuning), (_ASKERS, capabilities.asking - asking)]

    def _asks_together(self, provider: Provider) -> bool:
        capabilities = self._parts.accounts.capabilities(provider.name)
        asking = self._busy[provider.name, True]
        return not capabilities.remote and asking >= (capabilities.concurrency or 1)

    async def _take(
        self,
        provider: Provider,
        kinds: tuple[JobKind, ...],
        room: int,
        wishes: Sequence[Wish] | None,
        tasks: TaskGroup,
    ) -> int:
        now = lease_now()
        taken = await blocking(
            self._parts.store.claim,
            self.owner,
            lease_s=self._lease_s,
            limit=min(room, _CLAIM_BATCH),
            providers=[provider.name],
            kinds=kinds,
            wishes=wishes,
        )
        for job, lease in taken:
            if self._leases.add(lease):
                self._begin(provider, job, lease, now + self._lease_s, tasks)
        return len(taken)

    def _begin(self, provider: Provider, job: Job, lease: Lease, until: float, tasks: TaskGroup) -> None:
        held = Held(job=job, lease=lease, until=until, heard=job.wish)
        if job.id in self._held:  # its driver has lost its lease and has not ended yet
            self._leases.give_back(job.id)
        elif job.handle is not None and job.state in WORKING:
            self._follower(provider, tasks).follow(working_of(held))
        elif job.wish is None and job.kind is JobKind.TUNE and self._asks_together(provider):
            # More evaluations join those that run, in the jobs' order; it ends where a tuning job, which has the
            # machine for itself, is next.
            self._leases.give_back(job.id)
            self._held_up.add(provider.name)
        else:
            self._held[job.id] = held
            self._busy[provider.name, job.kind in _ASKERS] += 1
            tasks.start_soon(self._drive, provider, held, tasks)

    def _follower(self, provider: Provider, tasks: TaskGroup) -> Follower:
        if provider.name not in self._followers:
            follower = Follower(self._parts, provider, self._let_go)
            self._followers[provider.name] = follower
            tasks.start_soon(follower.run)
        return self._followers[provider.name]

    async def _drive(self, provider: Provider, held: Held, tasks: TaskGroup) -> None:
        follow = False
        with held.tenure:
            follow = await self._serve(provider, held)
        del self._held[held.lease.job_id]
        if follow and held.lease.job_id in self._leases:
            self._follower(provider, tasks).follow(working_of(held))
        else:
            self._leases.give_back(held.lease.job_id, held.lease)
            self.poke()

    async def _serve(self, provider: Provider, held: Held) -> bool:
        """Drive a job as far as it goes; say whether it wants to be followed."""
        before = held.job
        try:
            follow = await drive(self._parts, provider, held)
        except LeaseLostError:
            self._leases.forget(held.lease)
            return False
        finally:
            self._busy[provider.name, before.kind in _ASKERS] -= 1
            self.poke()
        if not follow:
            await self._linger(held, before)
        return follow

    async def _linger(self, held: Held, before: Job) -> None:
        """Keep a job for a while that its driver left as it found it, so that it is not taken again at once."""
        now = await blocking(self._parts.store.job, before.id)
        same = (now.state, now.attempt, now.wish) == (before.state, before.attempt, before.wish)
        if not same or (now.resting and now.wish is None):
            del self._lingers[before.id]
            return
        self._lingers[before.id] += 1
        held.wished, held.heard = Event(), now.wish
        with move_on_after(min(_LONGEST_LINGER_S, _LINGER_S * 2.0 ** (self._lingers[before.id] - 1))):
            await held.wished.wait()

    def _let_go(self, job_id: str) -> None:
        self._leases.give_back(job_id)
        self.poke()

    async def _hear_wishes(self) -> None:
        for job in await blocking(self._parts.store.wishes, self.owner):
            if job.id in self._held:
                _tell(self._held[job.id], job.wish)
            elif job.provider in self._followers:
                self._followers[job.provider].wish(job.id, job.wish)

    async def _renew_leases(self) -> None:
        while True:
            if await self._leases.bury():
                self._searched.clear()
                self.poke()
            await anyio.sleep(self._lease_s / 3)
            await self._leases.renew()

    def _kept(self, job_id: str, until: float) -> None:
        if job_id in self._held:
            self._held[job_id].extend(until)

    def _lost(self, job_id: str) -> None:
        if job_id in self._held:
            self._held[job_id].tenure.cancel()
        for follower in self._followers.values():
            follower.drop(job_id)

    async def _flush_events(self) -> None:
        while True:
            await anyio.sleep(self._look_s / 2)
            await self._parts.flush()


def _tell(held: Held, wish: Wish | None) -> None:
    """Tell a driver of a wish, once."""
    if wish is held.heard:
        return
    held.heard = wish
    held.wished.set()
    if wish in (Wish.CANCEL, Wish.PAUSE):
        held.scope.cancel()
