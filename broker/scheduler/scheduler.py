"""Claims jobs, drives each through its life, renews the leases, and lets go cleanly."""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
from anyio import CancelScope, Event, create_task_group, current_time, move_on_after

from broker.errors import BrokerError, LeaseLostError, StoreError
from broker.jobs.blocking import blocking
from broker.jobs.records import Job, Lease, Wish
from broker.jobs.states import JobKind, State
from broker.providers.contract import Advice, Provider, Verdict
from broker.scheduler.evaluating import drive_evaluation
from broker.scheduler.following import Follower
from broker.scheduler.parts import PERSIST_S, Held, Parts, failure_of, read_error
from broker.scheduler.tuning import drive_tuning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

# Driver by kind of job; says whether the job wants to be followed.
DRIVERS: dict[JobKind, Callable[[Parts, Provider, Held], Awaitable[bool]]] = {
    JobKind.TUNE: drive_tuning,
    JobKind.EVALUATE: drive_evaluation,
}
# Remote jobs being prepared or submitted at once, and remote evaluations at once, per account.
_STARTING = 512
_ASKING = 4
_CLAIM_BATCH = 500
# A job whose account cannot be opened here is left to others for this long, seconds.
_SHY_S = 30.0


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
        self._lease_s = lease_s
        self._look_s = look_s
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._held: dict[str, Held] = {}
        self._leases: dict[str, Lease] = {}
        self._followers: dict[str, Follower] = {}
        self._busy: Counter[tuple[str, bool]] = Counter()
        self._shy: dict[str, float] = {}
        self._returned: list[Lease] = []
        self._more = Event()

    def poke(self) -> None:
        """Look for jobs and wishes at once."""
        self._more.set()

    async def run(self) -> None:
        """Drive until cancelled; then give every lease back."""
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._renew_leases)
                tasks.start_soon(self._flush_events)
                await self._look_for_work(tasks)
        finally:
            with CancelScope(shield=True, deadline=current_time() + PERSIST_S):
                await self._parts.flush()
                await blocking(self._parts.store.release, [*self._leases.values(), *self._returned])

    async def _look_for_work(self, tasks: TaskGroup) -> None:
        while True:
            self._more = Event()
            await self._return_leases()
            await self._hear_wishes()
            claimed = 0
            for account in self._accounts():
                claimed += await self._claim(account, tasks)
            if not claimed:
                with move_on_after(self._look_s):
                    await self._more.wait()

    def _accounts(self) -> list[str]:
        now = current_time()
        return [name for name in self._parts.settings.account_names() if self._shy.get(name, 0.0) <= now]

    async def _claim(self, account: str, tasks: TaskGroup) -> int:
        provider = await self._open(account)
        if provider is None:
            return 0
        total = 0
        for kinds, room in self._room(provider):
            if room > 0:
                total += await self._take(account, provider, kinds, room, tasks)
        return total

    async def _open(self, account: str) -> Provider | None:
        """Open an account only when it has work, and shy away from it for a while when it cannot be opened."""
        if account in self._parts.accounts.names():
            return self._parts.accounts.get(account)
        waiting = await blocking(self._parts.store.has_work, account)
        if not waiting:
            return None
        try:
            return self._parts.accounts.get(account)
        except BrokerError as error:
            self._shy[account] = current_time() + _SHY_S
            await self._note_unopened(account, error)
            return None

    async def _note_unopened(self, account: str, error: BrokerError) -> None:
        """Tell, on every job that waits for it, why its account cannot be opened here."""
        verdict = Verdict(advice=Advice.RETRY, code="account", message=error.message, fix=error.fix)
        taken = await blocking(
            self._parts.store.claim, self.owner, lease_s=self._lease_s, limit=_CLAIM_BATCH, providers=[account]
        )
        for job, lease in taken:
            await self._parts.note_look(Held(job=job, lease=lease), verdict)
        await blocking(self._parts.store.release, [lease for _, lease in taken])

    def _room(self, provider: Provider) -> list[tuple[tuple[JobKind, ...], int]]:
        name = provider.name
        capabilities = self._parts.accounts.capabilities(name)
        followed = len(self._followers[name]) if name in self._followers else 0
        asking, starting = self._busy[name, True], self._busy[name, False]
        if not capabilities.remote:
            room = (capabilities.concurrency or 1) - asking - starting - followed
            return [((JobKind.TUNE, JobKind.EVALUATE), room)]
        tuning = _STARTING - starting
        if capabilities.concurrency is not None:
            tuning = min(tuning, capabilities.concurrency - starting - followed)
        return [((JobKind.TUNE,), tuning), ((JobKind.EVALUATE,), _ASKING - asking)]

    async def _take(
        self, account: str, provider: Provider, kinds: tuple[JobKind, ...], room: int, tasks: TaskGroup
    ) -> int:
        taken = await blocking(
            self._parts.store.claim,
            self.owner,
            lease_s=self._lease_s,
            limit=min(room, _CLAIM_BATCH),
            providers=[account],
            kinds=kinds,
        )
        for job, lease in taken:
            held = Held(job=job, lease=lease)
            self._leases[job.id] = lease
            if job.handle is not None and job.state in (State.RUNNING, State.PAUSING, State.CANCELLING):
                self._follower(provider, tasks).follow(held)
            else:
                self._held[job.id] = held
                self._busy[account, job.kind is JobKind.EVALUATE] += 1
                tasks.start_soon(self._drive, provider, held, tasks)
        return len(taken)

    def _follower(self, provider: Provider, tasks: TaskGroup) -> Follower:
        if provider.name not in self._followers:
            follower = Follower(self._parts, provider, self._let_go)
            self._followers[provider.name] = follower
            tasks.start_soon(follower.run)
        return self._followers[provider.name]

    async def _drive(self, provider: Provider, held: Held, tasks: TaskGroup) -> None:
        follow = False
        try:
            follow = await DRIVERS[held.job.kind](self._parts, provider, held)
        except LeaseLostError:
            self._leases.pop(held.job.id, None)
        except StoreError:
            raise
        except Exception as error:  # one broken job must not stop its neighbours
            await self._parts.fail(held, failure_of(read_error(None, error)))
        finally:
            del self._held[held.job.id]
            self._busy[provider.name, held.job.kind is JobKind.EVALUATE] -= 1
            self.poke()
        if follow:
            self._follower(provider, tasks).follow(held)
        else:
            await self._release(held.job.id)

    def _let_go(self, job_id: str) -> None:
        lease = self._leases.pop(job_id, None)
        if lease is not None:
            self._returned.append(lease)
        self.poke()

    async def _return_leases(self) -> None:
        if self._returned:
            batch, self._returned = self._returned, []
            await blocking(self._parts.store.release, batch)

    async def _release(self, job_id: str) -> None:
        lease = self._leases.pop(job_id, None)
        if lease is not None:
            with CancelScope(shield=True, deadline=current_time() + PERSIST_S):
                await blocking(self._parts.store.release, [lease])

    async def _hear_wishes(self) -> None:
        for job in await blocking(self._parts.store.wishes, self.owner):
            if job.id in self._held:
                self._wish_of_driven(self._held[job.id], job)
            elif job.provider in self._followers:
                self._followers[job.provider].wish(job.id, job.wish)

    def _wish_of_driven(self, held: Held, job: Job) -> None:
        held.wished.set()
        if job.kind is not JobKind.TUNE and job.wish in (Wish.CANCEL, Wish.PAUSE):
            held.scope.cancel()

    async def _renew_leases(self) -> None:
        while True:
            await anyio.sleep(self._lease_s / 3)
            kept, lost = await blocking(self._parts.store.renew, list(self._leases.values()), lease_s=self._lease_s)
            for lease in kept:
                self._renewed(lease)
            for lease in lost:
                self._lost(lease.job_id)

    def _renewed(self, lease: Lease) -> None:
        if lease.job_id not in self._leases:
            return
        self._leases[lease.job_id] = lease
        if lease.job_id in self._held:
            self._held[lease.job_id].lease = lease
        for follower in self._followers.values():
            follower.renewed(lease)

    def _lost(self, job_id: str) -> None:
        self._leases.pop(job_id, None)
        if job_id in self._held:
            self._held[job_id].scope.cancel()
        for follower in self._followers.values():
            follower.drop(job_id)

    async def _flush_events(self) -> None:
        while True:
            await anyio.sleep(self._look_s / 2)
            await self._parts.flush()
