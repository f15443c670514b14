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
        self._flags: set[Flag] = set()

    def poke(self) -> None:
        """Tell the watchers that something was written."""
        for flag in self._flags:
            flag.set()

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
        watched = _Watched(store, ids, experiment)
        seq = await blocking(store.last_seq) if after < 0 else after
        single = ids[0] if ids is not None and len(ids) == 1 else None
        while True:
            flag = Flag()
            self._flags.add(flag)
            try:
                # Asked before the events are read: what rests now has written all its events.
                resting = await watched.rest()
                events = await blocking(store.events, single, after=seq, limit=_BATCH)
                for event in events:
                    seq = event.seq
                    if await watched.has(event.job_id):
                        yield event
                if events:
                    continue
                if resting:
                    return
                with move_on_after(_LOOK_S):
                    await flag.wait()
            finally:
                self._flags.discard(flag)


class _Watched:
    """Which jobs are meant. However many they are, a look at them costs a few rows."""

    def __init__(self, store: Store, ids: Sequence[str] | None, experiment: str | None) -> None:
        self._store = store
        self._ids = None if ids is None else list(ids)
        self._experiment = experiment
        self._known = dict.fromkeys(ids or (), True)

    async def has(self, job_id: str) -> bool:
        """Say whether a job is one of them."""
        if self._ids is None and self._experiment is None:
            return True
        if self._ids is None and job_id not in self._known:
            job = await blocking(self._store.job, job_id)
            self._known[job_id] = job.experiment == self._experiment
        return self._known.get(job_id, False)

    async def rest(self) -> bool:
        """Say whether all of them rest."""
        if self._ids is not None:
            return await self._all_rest(self._ids)
        counts = await blocking(self._store.count_jobs, experiment=self._experiment)
        if any(count and state not in RESTING for state, count in counts.items()):
            return False
        wished = [state for state in (State.PAUSED, State.LOST) if counts.get(state)]
        if not wished:
            return True
        return all(map(_rests, await blocking(self._store.jobs, experiment=self._experiment, states=wished)))

    async def _all_rest(self, ids: list[str]) -> bool:
        for place, job_id in enumerate(ids):
            if not _rests(await blocking(self._store.job, job_id)):
                # The one that still works is the first to look at the next time.
                ids.insert(0, ids.pop(place))
                return False
        return True


def _rests(job: Job) -> bool:
    return job.resting and job.wish is None
