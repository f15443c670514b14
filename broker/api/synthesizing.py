"""The verbs about synthesis: have rows made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.api.starting import Starting
from broker.api.synthesis import SynthesisPlanner, SynthesisRequest
from broker.api.watching import Following
from broker.errors import JobFailedError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.spec import SynthesizeSpec
from broker.jobs.states import TERMINAL, JobKind, State
from broker.synthesis.outputs import holds, require_folder

if TYPE_CHECKING:
    from pathlib import Path

    from broker.api.planning import Plan
    from broker.jobs.records import Job
    from broker.jobs.spec import ParameterValue


class Synthesizing(Starting, Following):
    """Data sets made by a model."""

    async def plan_synthesis(self, request: SynthesisRequest) -> Plan:
        """Read, check and price a synthesis; store and send nothing.

        Args:
            request: What is wanted.

        Raises:
            DataError: Bad source rows, with file and line.
            SpecError: Every other problem, all at once.
            UserError: The output folder holds another data set.
        """
        planner = SynthesisPlanner(
            settings=self.settings, store=self._store, artifacts=self._engine.artifacts, accounts=self.accounts
        )
        plan = await planner.plan(request)
        for planned in plan.jobs:
            await self._require_folder(str(getattr(planned.job.spec, "output", "")))
        return plan

    async def _require_folder(self, output: str) -> None:
        """Refuse an output folder in which files would be lost, or into which another job writes.

        Raises:
            UserError: It is one of these.
        """
        unfinished = [state for state in State if state not in TERMINAL]
        jobs = await blocking(self._store.jobs, kinds=[JobKind.SYNTHESIZE], states=unfinished)
        busy = next((job for job in jobs if isinstance(job.spec, SynthesizeSpec) and job.spec.output == output), None)
        if busy is not None:
            fix = f"broker watch {busy.id} goes on with it, broker cancel {busy.id} ends it; or name another --output"
            raise UserError(f"{busy.id} ({busy.state}) makes rows for this folder", where=output, fix=fix)
        await blocking(require_folder, output)

    async def synthesize(
        self,
        *,
        provider: str,
        output: str | Path,
        pipeline: str = "qa",
        source: str | Path | None = None,
        rows: int = 100,
        model: str | None = None,
        budget_usd: float | None = None,
        **more: Any,
    ) -> Job:
        """Have rows made, gated and de-duplicated, in a folder; `wait` for the job, or `watch` it.

        Args:
            provider: The account that answers.
            output: Folder that receives the files.
            pipeline: `qa`, `preference`, `persona`, or `module:attribute` of one's own.
            source: A file of source rows; some pipelines do without.
            rows: Accepted rows wanted.
            model: The account's default when None.
            budget_usd: Most that it may cost; it stops cleanly there.
            more: Further fields of `SynthesisRequest`; what is none of them is an option of the pipeline.

        Returns:
            The job: the same one as before if it exists and `again` is not given.

        Raises:
            UserError: Bad input, with place and fix.
        """
        fields = SynthesisRequest.__dataclass_fields__
        options: dict[str, ParameterValue] = {name: value for name, value in more.items() if name not in fields}
        request = SynthesisRequest(
            provider=provider,
            output=str(output),
            pipeline=pipeline,
            source=None if source is None else str(source),
            rows=rows,
            model=model,
            budget_usd=budget_usd,
            options={**more.pop("options", {}), **options},
            **{name: value for name, value in more.items() if name in fields},
        )
        return (await self.start(await self.plan_synthesis(request)))[0]

    async def _made(self, request: SynthesisRequest) -> None:
        """Have rows made that are not there yet, and wait for them.

        Raises:
            JobFailedError: They could not be made.
        """
        if not request.again and await blocking(holds, request.output, request.rows):
            return
        started = (await self.start(await self.plan_synthesis(request)))[0]
        ended = (await self.wait(started))[0]
        if ended.state is not State.SUCCEEDED:
            failure = ended.failure
            what = f"the rows of {request.label or request.output} were not made: the job is {ended.state}"
            why = f" ({failure.message})" if failure else ""
            raise JobFailedError(what + why, where=ended.id, fix=failure.fix if failure else "")
