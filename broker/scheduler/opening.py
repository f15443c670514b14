"""Opens the accounts that have work, and tells the jobs of those that cannot be opened why they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, current_time

from broker.errors import BrokerError, LeaseLostError, StoreError
from broker.jobs.blocking import blocking
from broker.providers.contract import Advice, Verdict
from broker.providers.registry import factory
from broker.scheduler.parts import Held, Parts, lease_now
from broker.scheduler.reading import read_error
from broker.scheduler.tuning import obey_at_rest

if TYPE_CHECKING:
    from broker.jobs.records import Job, Lease
    from broker.providers.contract import Provider

# An account that cannot be opened here is left to others for this long, seconds.
_SHY_S = 15.0
_TOLD_AT_ONCE = 200


class Opening:
    """The accounts that have work."""

    def __init__(self, parts: Parts, owner: str) -> None:
        """Begin with none.

        Args:
            parts: What drivers share.
            owner: In whose name jobs are claimed.
        """
        self._parts = parts
        self._owner = owner
        self._shy: dict[str, float] = {}

    async def providers(self) -> list[Provider]:
        """Return the providers of all accounts that have work and can be opened."""
        now = current_time()
        names = await blocking(self._parts.store.accounts_at_work)
        found = [await self._open(name) for name in names if self._shy.get(name, 0.0) <= now]
        return [provider for provider in found if provider is not None]

    async def _open(self, account: str) -> Provider | None:
        if account in self._parts.accounts.names():
            return self._parts.accounts.get(account)
        try:
            # Imported in a thread: an SDK takes half a second, in which the event loop must go on.
            await blocking(factory, self._parts.settings.account(account).kind)
            return self._parts.accounts.get(account)
        except StoreError:
            raise
        except Exception as error:  # a package of somebody else may raise anything while it is built
            self._shy[account] = current_time() + _SHY_S
            await self._tell(account, error)
            return None

    async def _tell(self, account: str, error: Exception) -> None:
        """Tell the jobs that wait for an account why it cannot be opened here; what needs no provider is done."""
        verdict = _unopened(account, error)
        lease_s, until = self._parts.lease_s, lease_now() + self._parts.lease_s
        taken = await blocking(
            self._parts.store.claim, self._owner, lease_s=lease_s, limit=_TOLD_AT_ONCE, providers=[account]
        )
        try:
            for job, lease in taken:
                await self._tell_one(job, lease, until, verdict)
        finally:
            with CancelScope(shield=True):
                await blocking(self._parts.store.release, [lease for _, lease in taken])

    async def _tell_one(self, job: Job, lease: Lease, until: float, verdict: Verdict) -> None:
        held = Held(job=job, lease=lease, until=until)
        try:
            await obey_at_rest(self._parts, held)
            if not held.job.resting:
                await self._parts.note_look(held, verdict)
        except LeaseLostError:
            pass  # a person has decided about it meanwhile


def _unopened(account: str, error: Exception) -> Verdict:
    told = read_error(None, error)
    fix = error.fix if isinstance(error, BrokerError) else ""
    return Verdict(
        advice=Advice.RETRY,
        code="account",
        message=f"the account {account!r} cannot be opened here: {told.message}",
        fix=fix or f"mend [providers.{account}] in broker.toml; the job waits",
    )
