"""Telling jobs what to do: cancel, pause, resume, adopt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import UnknownNameError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.records import Handle, Wish
from broker.jobs.spec import SynthesizeSpec
from broker.jobs.states import JobKind, State
from broker.synthesis.pipeline import open_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.jobs.records import Job
    from broker.jobs.spec import TuneSpec
    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts

_RESTARTABLE = frozenset({State.FAILED, State.CANCELLED, State.LOST})
_PAUSED = frozenset({State.PAUSING, State.PAUSED})


class Control:
    """Notes what a person wants; whoever drives the job acts on it."""

    def __init__(self, store: Store, accounts: Accounts, poke: Callable[[], None]) -> None:
        """Keep where wishes are noted.

        Args:
            store: The store.
            accounts: The providers, for adopting.
            poke: Called when there is something new to do.
        """
        self._store = store
        self._accounts = accounts
        self._poke = poke

    async def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job and of the evaluations that wait for it."""
        target = await blocking(self._store.job, job_id)
        for waiting in await self._judges(target):
            if not waiting.terminal:
                await self.wish(waiting.id, Wish.CANCEL)
        return await self.wish(target.id, Wish.CANCEL)

    async def resume(self, job_id: str) -> Job:
        """Go on with a paused job, or begin a failed, cancelled or lost one anew with its evaluations.

        Raises:
            BrokerError: The pipeline of a synthesis cannot be opened here; nothing is changed then.
        """
        record = await blocking(self._store.job, job_id)
        if record.state not in _RESTARTABLE | _PAUSED:
            return record
        if isinstance(record.spec, SynthesizeSpec):
            await blocking(open_pipeline, record.spec.pipeline)
        if record.state in _PAUSED:
            return await self.wish(record.id, Wish.RESUME)
        restarted = await blocking(self._store.restart, record.id)
        await self._judge_again(record)
        self._poke()
        return restarted

    async def wish(self, job_id: str, wish: Wish) -> Job:
        """Note a wish; a job that has ended stays as it is."""
        record = await blocking(self._store.job, job_id)
        if record.terminal:
            return record
        record = await blocking(self._store.wish, record.id, wish)
        self._poke()
        return record

    async def recall(self, handle: Handle) -> TuneSpec:
        """Return what a provider's job was asked for.

        Raises:
            UnknownNameError: The provider does not know it.
        """
        spec = await self._accounts.get(handle.provider).recall(handle)
        if spec is None:
            what = f"{handle.provider!r} does not know a job {handle.id!r}"
            raise UnknownNameError(what, fix="check the id, --provider and its base URL")
        return spec

    async def settle(self, handle: Handle, job_id: str) -> Job:
        """Say that a lost job is the one that the provider has under this id.

        Raises:
            UserError: The provider does not know it, or it was made from another model.
        """
        spec = await self.recall(handle)
        lost = await blocking(self._store.job, job_id)
        wanted = getattr(lost.spec, "model", None)
        if spec.model != wanted:
            what = f"{handle.id} tunes {spec.model!r}, but {lost.id} asked for {wanted!r}"
            raise UserError(what, where="--job", fix=f"broker adopt {handle.id} takes it over as a job of its own")
        record = await blocking(self._store.settle, lost.id, State.RUNNING, handle=handle, note="adopted")
        await self._judge_again(lost)
        self._poke()
        return record

    async def _judge_again(self, job: Job) -> None:
        """Begin the evaluations of a job anew that ended because it had no model."""
        for waiting in await self._judges(job):
            if waiting.state in (State.FAILED, State.CANCELLED):
                await blocking(self._store.restart, waiting.id)

    async def _judges(self, job: Job) -> list[Job]:
        found = await blocking(self._store.jobs, experiment=job.experiment, kinds=[JobKind.EVALUATE])
        return [waiting for waiting in found if job.id in waiting.depends_on]
