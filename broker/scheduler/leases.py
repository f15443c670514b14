"""The leases of this process: taken, kept, given back, and taken back from the dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import Lock

from broker.jobs.blocking import blocking
from broker.scheduler.owners import is_dead, new_owner
from broker.scheduler.parts import lease_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from broker.jobs.records import Lease
    from broker.jobs.store.protocol import Store

# So many are renewed in one transaction: others come between.
_AT_ONCE = 5000


class Leases:
    """What this process may drive."""

    def __init__(
        self,
        store: Store,
        lease_s: float,
        *,
        kept: Callable[[str, float], None],
        lost: Callable[[str], None],
    ) -> None:
        """Begin with none.

        Args:
            store: Where leases are kept.
            lease_s: Seconds for which one is good without renewal.
            kept: Called with a job and the time until which it is ours, on the clock of `lease_now`.
            lost: Called with a job that is another's now.
        """
        self._store = store
        self._lease_s = lease_s
        self._kept = kept
        self._lost = lost
        self.owner = new_owner()
        self._leases: dict[str, Lease] = {}
        self._returned: list[Lease] = []
        self._fresh_at = lease_now()
        self._turn = Lock()

    def __contains__(self, job_id: str) -> bool:
        """Say whether a job is ours, as far as we know."""
        return job_id in self._leases

    def add(self, lease: Lease) -> bool:
        """Take in a new lease.

        Returns:
            False when the job was ours already: then the old lease was over before we noticed, the new one is given
            back, and the job is taken again when whoever drives it under the old one has let go.
        """
        if lease.job_id in self._leases:
            self._returned.append(lease)
            del self._leases[lease.job_id]
            self._lost(lease.job_id)
            return False
        self._leases[lease.job_id] = lease
        return True

    def give_back(self, job_id: str, lease: Lease | None = None) -> None:
        """Let a job go; written with the next `flush`.

        Args:
            job_id: The job.
            lease: Only if this is still the one.
        """
        known = self._leases.get(job_id)
        if known is not None and (lease is None or known.token == lease.token):
            self._returned.append(self._leases.pop(job_id))

    def forget(self, lease: Lease) -> None:
        """Strike out a lease that is lost."""
        known = self._leases.get(lease.job_id)
        if known is not None and known.token == lease.token:
            del self._leases[lease.job_id]

    async def flush(self) -> None:
        """Write what was given back."""
        if self._returned:
            batch, self._returned = self._returned, []
            await blocking(self._store.release, batch)

    async def freshen(self) -> None:
        """Renew before a claim, if need be: a claim frees whatever has expired, our own included."""
        if lease_now() - self._fresh_at > self._lease_s / 2:
            await self.renew()

    async def renew(self) -> None:
        """Renew all, in chunks."""
        async with self._turn:
            began = lease_now()
            mine = list(self._leases.values())
            for first in range(0, len(mine), _AT_ONCE):
                await self._renew(mine[first : first + _AT_ONCE])
            self._fresh_at = began

    async def bury(self) -> int:
        """Take back the leases of brokers on this machine that were killed; return how many."""
        freed = 0
        for owner in await blocking(self._store.owners):
            if owner != self.owner and await blocking(is_dead, owner):
                freed += await blocking(self._store.disown, owner)
        return freed

    async def release_all(self) -> None:
        """Give everything back."""
        self._returned += self._leases.values()
        self._leases.clear()
        await self.flush()

    async def _renew(self, some: list[Lease]) -> None:
        now = lease_now()
        _, lost = await blocking(self._store.renew, some, lease_s=self._lease_s)
        gone = {lease.token for lease in lost}
        self._tell_kept((lease.job_id for lease in some if lease.token not in gone), now + self._lease_s)
        for lease in lost:
            if self._leases.get(lease.job_id) is lease:
                del self._leases[lease.job_id]
                self._lost(lease.job_id)

    def _tell_kept(self, jobs: Iterable[str], until: float) -> None:
        for job_id in jobs:
            self._kept(job_id, until)
