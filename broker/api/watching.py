"""The verbs about jobs: look at them, follow them, tell them what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.api.opened import Opened
from broker.jobs.blocking import blocking
from broker.jobs.records import Event, Job, Wish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from broker.jobs.states import State


class Following(Opened):
    """Jobs as they are and as they change."""

    async def watch(
        self, jobs: Job | str | Iterable[Job | str] | None = None, *, experiment: str | None = None, after: int = 0
    ) -> AsyncIterator[Event]:
        """Yield the events of jobs as they are stored, old ones first, until all of them rest.

        Args:
            jobs: One or several jobs, or None for all.
            experiment: All jobs of this experiment.
            after: Only events with a greater `seq`.
        """
        ids = [(await self.job(job_id)).id for job_id in ids_of(jobs)] if jobs is not None else None
        async for event in self._watcher.watch(self._store, ids=ids, experiment=experiment, after=after):
            yield event

    async def wait(
        self, jobs: Job | str | Iterable[Job | str] | None = None, *, experiment: str | None = None
    ) -> list[Job]:
        """Wait until jobs rest; return them as they are then."""
        ids = ids_of(jobs) if jobs is not None else None
        async for _ in self._watcher.watch(self._store, ids=ids, experiment=experiment, after=-1):
            pass
        if ids is None:
            return await self.jobs(experiment=experiment)
        return [await self.job(job_id) for job_id in ids]

    async def job(self, job_id: str) -> Job:
        """Return one job by its id or a unique beginning of it."""
        return await blocking(self._store.job, job_id)

    async def jobs(self, **filters: Any) -> list[Job]:
        """Return jobs; filters as in `Store.jobs`."""
        return await blocking(self._store.jobs, **filters)

    async def count(self, *, experiment: str | None = None) -> dict[State, int]:
        """Return how many jobs are in each state."""
        return await blocking(self._store.count_jobs, experiment=experiment)

    async def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return stored events, oldest first."""
        return await blocking(self._store.events, job_id, after=after, limit=limit)

    async def cancel(self, job: Job | str) -> Job:
        """Ask for the end of a job (and of the evaluations that wait for it); whoever drives it acts on it."""
        return await self._control.cancel(ids_of(job)[0])

    async def pause(self, job: Job | str) -> Job:
        """Ask for a pause of a job."""
        return await self._control.wish(ids_of(job)[0], Wish.PAUSE)

    async def resume(self, job: Job | str, *, budget_usd: float | None = None) -> Job:
        """Go on with a paused job, or begin a failed, cancelled or lost one anew with its evaluations.

        Args:
            job: The job.
            budget_usd: New budget of its experiment; as before when None.
        """
        found = await self.job(ids_of(job)[0])
        if budget_usd is not None:
            await blocking(self._store.set_budget, found.experiment, budget_usd)
        return await self._control.resume(found.id)


def ids_of(jobs: Job | str | Iterable[Job | str]) -> list[str]:
    """Return the ids of one job or of several."""
    if isinstance(jobs, Job | str):
        jobs = [jobs]
    return [job.id if isinstance(job, Job) else job for job in jobs]
