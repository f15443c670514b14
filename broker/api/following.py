"""Reads the store's events as they come, for anybody who watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import Event as Flag
from anyio import move_on_after

from broker.jobs.blocking import blocking
from broker.jobs.states import RESTING, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.jobs.records import Event, Job
    from broker.jobs.store.protocol import Store

# Another process may have written: look again after so many seconds without a poke.
_LOOK_S = 0.25
_BATCH = 1000


class Watcher:
    """Wakes the watchers of this process and reads events for them."""

    def __init__(self) -> None:
        """Begin without watchers."""
        self._more = Flag()

    def poke(self) -> None:
        """Tell the watchers that something was written."""
        self._more.set()

    async def watch(
        self, store: Store, *, ids: Sequence[str] | None, experiment: str | None, after: int
    ) -> AsyncIterator[Event]:
        """Yield events until every watched job rests and all their events were seen.

        Args:
            store: The store.
            ids: The jobs, or None for all (of the experiment).
            experiment: Only jobs of this experiment.
            after: Only events with a greater `seq`; -1 begins at the newest.
        """
        seq = await blocking(store.last_seq) if after < 0 else after
        while True:
            self._more = Flag()
            # Asked before the events are read: what rests now has written all its events.
            resting = await self._resting(store, ids, experiment)
            watched = await self._watched(store, ids, experiment)
            single = ids[0] if ids is not None and len(ids) == 1 else None
            events = await blocking(store.events, single, after=seq, limit=_BATCH)
            for event in events:
                seq = event.seq
                if watched is None or event.job_id in watched:
                    yield event
            if events:
                continue
            if resting:
                return
            with move_on_after(_LOOK_S):
                await self._more.wait()

    async def _watched(self, store: Store, ids: Sequence[str] | None, experiment: str | None) -> set[str] | None:
        if ids is not None:
            return set(ids)
        if experiment is None:
            return None
        return {job.id for job in await blocking(store.jobs, experiment=experiment)}

    async def _resting(self, store: Store, ids: Sequence[str] | None, experiment: str | None) -> bool:
        if ids is not None:
            return all([_rests(await blocking(store.job, job_id)) for job_id in ids])
        counts = await blocking(store.count_jobs, experiment=experiment)
        if any(count and state not in RESTING for state, count in counts.items()):
            return False
        paused = await blocking(store.jobs, experiment=experiment, states=[State.PAUSED])
        return all(_rests(job) for job in paused)


def _rests(job: Job) -> bool:
    return job.resting and job.wish is None
