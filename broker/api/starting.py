"""The verb that begins: a plan's jobs are stored, and from then on driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.api.opened import Opened
from broker.api.overlaps import note_overlap
from broker.jobs.blocking import blocking
from broker.jobs.states import JobKind

if TYPE_CHECKING:
    from broker.api.planning import Plan
    from broker.jobs.records import Job


class Starting(Opened):
    """From plans to jobs."""

    async def start(self, plan: Plan) -> list[Job]:
        """Store the jobs of a plan, all or none, with their money reserved.

        Args:
            plan: From `plan`.

        Returns:
            The new jobs and those reused, tuning jobs first.

        Raises:
            BudgetError: The reservations would pass the budget.
        """
        await self.offline.make_for(planned.job.spec for planned in plan.jobs)
        await blocking(self._store.add_experiment, plan.experiment)
        if plan.overlap:
            await blocking(note_overlap, self._store, plan.experiment.name, plan.overlap)
        if plan.experiment.budget_usd is not None:
            await blocking(self._store.set_budget, plan.experiment.name, plan.experiment.budget_usd)
        for account in {planned.job.spec.provider for planned in plan.jobs}:
            await self._engine.note_account(account)
        jobs = await blocking(self._store.add_jobs, plan.experiment.name, [planned.job for planned in plan.jobs])
        self._engine.poke()
        return sorted([*plan.reused, *jobs], key=lambda job: job.kind is not JobKind.TUNE)
