"""Polling: many jobs by list pages, few ones one by one, whichever costs fewer requests.

The listing is ordered from new to old. Where a job stood at the last look says about how many pages the next look
needs, so from the second look on the cost of N jobs is the smaller of N requests and the pages back to the oldest of
them (or a mixture that is cheaper still: the young ones by pages, a few very old ones one by one). The first look knows
nothing: it walks pages as long as they pay, and never costs more than two requests for each job. For n jobs below the
place where it stopped, later looks may cost (n - 1) // 2 requests more than the fewest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from broker.errors import ProviderError, RefusedError
from broker.providers.foreign_json import Item
from broker.providers.openai_tuning.listing import PAGE, Fetch, pages

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to look at some jobs.

    Attributes:
        pages: Pages that are known to be needed.
        fresh: Jobs never seen in a listing: for them the walk goes on while it pays.
        single: Jobs to ask for one by one, whatever the pages hold.
    """

    pages: int
    fresh: int = 0
    single: frozenset[str] = frozenset()


@dataclass(slots=True)
class Looks:
    """Looks at many jobs of one account.

    Attributes:
        fetch: Returns a page of the listing.
        retrieve: Returns one job, or None when there is no such job.
        positions: Where each job stood in the listing at the last look, counted from 0.
        deep: Jobs that a walk, as far as it paid, did not come to.
        requests: Requests made so far.
    """

    fetch: Fetch
    retrieve: Callable[[str], Awaitable[Item | None]]
    positions: dict[str, int] = field(default_factory=dict[str, int])
    deep: set[str] = field(default_factory=set[str])
    requests: int = 0
    _lists: bool = True

    async def look(
        self, ids: Iterable[str], read: Callable[[Item], T]
    ) -> tuple[dict[str, T], dict[str, ProviderError]]:
        """Look at jobs.

        Args:
            ids: The jobs.
            read: Turns a job into what is kept of it: of a hundred thousand jobs, not every word.

        Returns:
            The jobs as the account shows them now, and why some could not be looked at. One that is in neither does not
            exist there.
        """
        wanted = dict.fromkeys(ids)
        self._forget_others(wanted)
        plan = self.plan(tuple(wanted))
        found: dict[str, T] = {}
        if self._lists and (plan.pages or plan.fresh > 1):
            try:
                await self._walk(plan, set(wanted) - plan.single, found, read)
            except RefusedError:
                self._lists = False  # a server without this listing
        failed = await self._one_by_one([job_id for job_id in wanted if job_id not in found], found, read)
        return found, failed

    def plan(self, ids: tuple[str, ...]) -> Plan:
        """Choose the cheapest way to look at some jobs, as far as it is known.

        Args:
            ids: The jobs.
        """
        known = sorted((self.positions[job_id], job_id) for job_id in ids if job_id in self.positions)
        deep = [job_id for job_id in ids if job_id in self.deep]
        cost, needed, split = len(known), 0, 0
        # The young ones by pages, the rest one by one: try every place to part them.
        for count, (position, _) in enumerate(known, start=1):
            walk = position // PAGE + 1
            if walk + len(known) - count < cost:
                cost, needed, split = walk + len(known) - count, walk, count
        fresh = len(ids) - len(known) - len(deep)
        single = frozenset([*deep, *(job_id for _, job_id in known[split:])])
        return Plan(pages=needed, fresh=fresh, single=single if needed or fresh > 1 else frozenset(ids))

    async def _walk(self, plan: Plan, wanted: set[str], found: dict[str, T], read: Callable[[Item], T]) -> None:
        walked = barren = position = 0

        async def fetch(after: str | None) -> Item:
            self.requests += 1
            return await self.fetch(after)

        async for page in pages(fetch):
            hits = [(position + at, item) for at, item in enumerate(page) if str(item["id"]) in wanted]
            for place, item in hits:
                self.positions[str(item["id"])] = place
                found[str(item["id"])] = read(item)
            walked, position = walked + 1, position + len(page)
            barren = 0 if hits else barren + 1
            left = len(wanted) - len(found)
            # Jobs made since the last look pushed the others down: one page more than known may be needed.
            patience = max(1, left // 2) if plan.fresh > 1 else 1
            # After as many pages as there are jobs, asking for the rest one by one at most doubles the cost.
            if not left or walked >= len(wanted) or (walked >= plan.pages and barren >= patience):
                break
        for job_id in wanted - found.keys():
            if job_id in self.positions:
                self.positions[job_id] = position
            else:
                self.deep.add(job_id)

    async def _one_by_one(
        self, ids: list[str], found: dict[str, T], read: Callable[[Item], T]
    ) -> dict[str, ProviderError]:
        failed: dict[str, ProviderError] = {}

        async def ask(job_id: str) -> None:
            try:
                item = await self.retrieve(job_id)
            except ProviderError as error:
                failed[job_id] = error
                return
            if item is not None:
                found[job_id] = read(item)

        self.requests += len(ids)
        async with anyio.create_task_group() as tasks:
            for job_id in ids:
                tasks.start_soon(ask, job_id)
        return failed

    def _forget_others(self, wanted: dict[str, None]) -> None:
        self.deep &= wanted.keys()
        for job_id in self.positions.keys() - wanted.keys():
            del self.positions[job_id]
