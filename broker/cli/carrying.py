"""From a request to its end: plan, confirm, start, follow, and show what came out."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from inspect import signature
from typing import TYPE_CHECKING, Any

import typer

from broker.cli import context
from broker.cli.hyperparameters import in_flags
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, SpecError, UserError
from broker.jobs.states import JobKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.api import Broker, ExperimentRequest, Plan
    from broker.api.synthesis import SynthesisRequest
    from broker.jobs.records import Job
    from broker.jobs.spec import Spec

    Request = ExperimentRequest | SynthesisRequest


def carry_out(
    request: Callable[[Broker], Request | Awaitable[Request]],
    *,
    yes: bool,
    dry_run: bool,
    detach: bool,
) -> int:
    """Plan, confirm, start, follow, and show the table.

    Args:
        request: Makes the request once the broker is open.
        yes: Do not ask before spending money.
        dry_run: Only show the plan.
        detach: Leave the work to a background broker.

    Returns:
        The exit code.
    """
    from broker.cli.follow import Steps

    steps = Steps()
    started: list[Job] = []

    async def work(broker: Broker) -> tuple[Plan, int]:
        wanted = request(broker)
        plan = await _planned(broker, await wanted if isinstance(wanted, Awaitable) else wanted)
        _show_plan(plan, dry_run=dry_run)
        if dry_run:
            return plan, EXIT_OK
        await confirm_cost(plan.high_usd if plan.paid else 0.0, yes=yes)
        started.extend(await broker.start(plan))
        steps.close()
        return plan, EXIT_OK if detach else await _to_the_table(broker, plan, started)

    try:
        plan, code = context.run(work, drive=not dry_run and not detach, report=steps.report)
    except context.StoppedError:
        _how_to_come_back(started)
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if detach and not dry_run:
        _detached(plan, started)
    return code


async def _planned(broker: Broker, request: Request) -> Plan:
    from broker.api.synthesis import SynthesisRequest
    from broker.cli.submit import submit

    try:
        return await (broker.plan_synthesis(request) if isinstance(request, SynthesisRequest) else broker.plan(request))
    except SpecError as error:
        options = [name.removesuffix("_") for name in signature(submit).parameters]
        raise SpecError([in_flags(problem, options) for problem in error.problems]) from error


def _show_plan(plan: Plan, *, dry_run: bool) -> None:
    from broker.cli.words import spread

    if not plan.jobs and not plan.reused:
        raise UserError("this asks for nothing", fix="name jobs, or models with a validation set; see docs/recipes.md")
    for warning in dict.fromkeys(plan.warnings):
        OUT.warn(warning)
    for job in plan.reused:
        if job.kind is not JobKind.EVALUATE:
            OUT.note(f"the same job exists: {job.id} ({job.state}); it is used (--again makes a new one)")
    if dry_run and OUT.json:
        OUT.data(_plan_data(plan))
    elif dry_run:
        _print_plan(plan)
    elif plan.paid:
        OUT.note(f"estimated cost: {spread(plan.low_usd, plan.high_usd)}")


def _print_plan(plan: Plan) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import spec_title, spread
    from broker.jobs.spec import EvaluateSpec

    OUT.say(f"experiment {plan.experiment.name}")
    new = {planned.job.id for planned in plan.jobs}
    table = Table("job", "rows", "cost", box=box.SIMPLE_HEAD)
    for planned in plan.jobs:
        spec = planned.job.spec
        tuned = isinstance(spec, EvaluateSpec) and spec.tune_job in new and not planned.job.label
        what = "evaluate the tuned model" if tuned else spec_title(spec, planned.job.label)
        table.add_row(Text(what), str(_rows(spec)), spread(planned.estimate.low_usd, planned.estimate.high_usd))
    OUT.table(table)
    for line in dict.fromkeys(line for planned in plan.jobs for line in planned.estimate.basis):
        OUT.say(f"  {line}")
    OUT.say(f"total: {spread(plan.low_usd, plan.high_usd)}; nothing was sent")


def _rows(spec: Spec) -> int | str:
    data = getattr(spec, "train", None) or getattr(spec, "validation", None)
    return data.rows if data is not None else "–"


def _plan_data(plan: Plan) -> dict[str, Any]:
    from broker.jobs.codec import dump

    jobs = [
        {"job": dump(planned.job), "kind": planned.kind, "estimate": dump(planned.estimate)} for planned in plan.jobs
    ]
    return {
        "experiment": plan.experiment.name,
        "jobs": jobs,
        "reused": [job.id for job in plan.reused],
        "low_usd": plan.low_usd,
        "high_usd": plan.high_usd,
        "warnings": [str(warning) for warning in plan.warnings],
    }


async def confirm_cost(high_usd: float, *, yes: bool) -> None:
    """Ask before money is spent.

    Args:
        high_usd: The most that it can cost; nobody is asked about nothing.
        yes: Do not ask.

    Raises:
        UserError: Nobody can be asked.
        Abort: The answer was no.
    """
    from broker.cli.keyboard import confirm
    from broker.cli.words import dollars

    if not high_usd or yes:
        return
    if OUT.json or not sys.stdin.isatty():
        fix = "add --yes to spend without being asked, or --dry-run to see the plan"
        raise UserError(f"this costs up to {dollars(high_usd)} and nobody can be asked here", fix=fix)
    if not await confirm(f"Spend up to {dollars(high_usd)}?"):
        OUT.note("nothing was sent")
        raise typer.Abort


async def _to_the_table(broker: Broker, plan: Plan, jobs: Sequence[Job]) -> int:
    from broker.cli.follow import follow
    from broker.cli.outcome import show_outcome

    named = [job for job in jobs if job.kind is JobKind.TUNE] or jobs
    OUT.note("  ".join(job.id for job in named))
    ended = await follow(broker, jobs)
    also = {"experiment": plan.experiment.name, "warnings": [str(warning) for warning in plan.warnings]}
    return show_outcome(ended, [await broker.results(plan.experiment.name)], also=also)


def _detached(plan: Plan, jobs: Sequence[Job]) -> None:
    """Leave the jobs to a background broker and say which they are."""
    from broker.cli.background import start_background

    process = start_background()
    name = plan.experiment.name
    if OUT.json:
        OUT.data({"experiment": name, "jobs": [job.id for job in jobs], "process": process})
        return
    for job in jobs:
        OUT.say(job.id)
    OUT.note(f"broker watch --experiment {name} follows them, broker results {name} shows the table")


def _how_to_come_back(jobs: Sequence[Job]) -> None:
    if not jobs:
        OUT.note("stopped; nothing was started")
        return
    experiment = jobs[0].experiment
    OUT.note(
        "stopped. Remote jobs go on at their provider; local ones wait at a checkpoint.\n"
        f"go on:  broker watch --experiment {experiment}\n"
        f"table:  broker results {experiment}"
    )
