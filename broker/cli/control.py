"""Driving jobs and telling them what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import context
from broker.cli.completion import complete_experiment, complete_job, complete_provider
from broker.cli.jobs import JobArgument  # noqa: TC001 - typer reads it when it runs
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from broker.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.api import Broker
    from broker.jobs.records import Job

_WATCH_HELP = """Follow jobs, drive them meanwhile, end with their tables.

[bold]Examples[/bold]

  broker watch

  broker watch tune-k3f9

  broker watch --experiment tone
"""
_CANCEL_HELP = """End a job, and the evaluations that wait for it.

[bold]Example[/bold]

  broker cancel tune-k3f9
"""
_PAUSE_HELP = """Let a job rest; broker resume goes on with it.

[bold]Example[/bold]

  broker pause tune-k3f9
"""
_RESUME_HELP = """Go on with one job, or with everything that is unfinished.

A paused job goes on from its checkpoint. A failed, cancelled or lost one gets a new attempt.

[bold]Examples[/bold]

  broker resume

  broker resume tune-k3f9

  broker resume tune-k3f9 --detach

  broker resume synth-k3f9 --budget 20
"""
_ADOPT_HELP = """Take over a job that a provider has already.

One made elsewhere, or the remains of a lost one.

[bold]Examples[/bold]

  broker adopt ftjob-abc123

  broker adopt ftjob-abc123 --provider azure --validation val.jsonl

  broker adopt ftjob-abc123 --job tune-k3f9
"""
_WORK_HELP = """Drive all jobs until none is left; what --detach starts.

[bold]Examples[/bold]

  broker work

  broker work --forever
"""
# So long is waited for whoever drives a job to act on a wish, seconds; a driver looks twice a second.
_ACT_S = 3.0
_IDLE_S = 1.0


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Jobs"
    app.command(help=_WATCH_HELP, rich_help_panel=panel)(watch)
    app.command(help=_CANCEL_HELP, rich_help_panel=panel)(cancel)
    app.command(help=_PAUSE_HELP, rich_help_panel=panel)(pause)
    app.command(help=_RESUME_HELP, rich_help_panel=panel)(resume)
    app.command(help=_ADOPT_HELP, rich_help_panel=panel)(adopt)
    app.command(help=_WORK_HELP, rich_help_panel=panel)(work)


def watch(
    job: Annotated[
        list[str] | None,
        typer.Argument(
            help="Jobs; all unfinished ones when not given.", metavar="[JOB]...", autocompletion=complete_job
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="All jobs of this experiment.", autocompletion=complete_experiment)
    ] = None,
) -> int:
    """Follow jobs until they rest."""

    async def work(broker: Broker) -> int:
        return await _to_the_tables(broker, await _chosen(broker, job or [], experiment))

    return gently(work)


async def _chosen(broker: Broker, names: Sequence[str], experiment: str | None) -> list[Job]:
    """Return the jobs that are meant; with a job come the evaluations that wait for it."""
    if experiment is not None:
        return await broker.jobs(experiment=(await broker.experiment(experiment)).name)
    if not names:
        return [found for found in await broker.jobs() if not found.resting]
    chosen: dict[str, Job] = {}
    for name in names:
        found = await broker.job(name)
        beside = await broker.jobs(experiment=found.experiment)
        chosen |= {one.id: one for one in (found, *(other for other in beside if found.id in other.depends_on))}
    return list(chosen.values())


async def _to_the_tables(broker: Broker, jobs: Sequence[Job]) -> int:
    from broker.cli.follow import follow
    from broker.cli.outcome import show_outcome

    if not jobs:
        OUT.note("no unfinished jobs; broker jobs lists the others")
    ended = await follow(broker, jobs)
    return show_outcome(ended, [await broker.results(name) for name in dict.fromkeys(job.experiment for job in ended)])


def gently(work: Callable[[Broker], Awaitable[int]], *, drive: bool = True) -> int:
    """Do some work; on Ctrl-C say how to go on.

    Args:
        work: What to do; returns the exit code.
        drive: Drive jobs meanwhile.
    """
    from broker.cli.follow import Steps

    steps = Steps()
    try:
        return context.run(work, drive=drive, report=steps.report)
    except context.StoppedError:
        OUT.note("stopped; broker watch goes on")
        return EXIT_INTERRUPTED
    finally:
        steps.close()


def _wish(job: str, method: str, wanted: State) -> int:
    async def ask(broker: Broker) -> tuple[bool, Job]:
        before = await broker.job(job)
        await getattr(broker, method)(before)
        return before.terminal, await _acted_on(broker, before.id)

    ended, record = context.run(ask, drive=False)
    if OUT.json:
        from broker.cli.words import job_data

        OUT.data(job_data(record))
    elif ended:
        OUT.note(f"{record.id} is {record.state} already")
    elif record.state is wanted or record.wish is None:
        OUT.note(f"{record.id} is {record.state}" + ("; broker resume goes on" if wanted is State.PAUSED else ""))
    else:
        OUT.note(f"{record.id}: asked, but no broker drives it now; broker watch {record.id} acts on it")
    return EXIT_OK


async def _acted_on(broker: Broker, job_id: str) -> Job:
    """Wait a moment for whoever drives a job to act on a wish."""
    import anyio

    with anyio.move_on_after(_ACT_S):
        async for _ in broker.watch(job_id, after=-1):
            if (await broker.job(job_id)).wish is None:
                break
    return await broker.job(job_id)


def cancel(job: JobArgument) -> int:
    """Ask for the end of a job."""
    return _wish(job, "cancel", State.CANCELLED)


def pause(job: JobArgument) -> int:
    """Ask for a pause of a job."""
    return _wish(job, "pause", State.PAUSED)


def resume(
    job: Annotated[
        str | None, typer.Argument(help="A job; all unfinished ones when not given.", autocompletion=complete_job)
    ] = None,
    budget: Annotated[float | None, typer.Option(help="New budget of the job's experiment, USD.", min=0)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Go on with a job, or with everything that is unfinished."""
    if budget is not None and job is None:
        raise UserError("which job's budget?", where="--budget", fix="broker resume JOB --budget 10")
    if not detach:
        return gently(lambda broker: _resumed(broker, job, budget))

    async def ask(broker: Broker) -> list[Job]:
        return [await broker.resume(job, budget_usd=budget)] if job is not None else await _chosen(broker, [], None)

    found = context.run(ask, drive=False)
    _detached(found)
    return EXIT_OK


async def _resumed(broker: Broker, job: str | None, budget: float | None) -> int:
    if job is None:
        return await _to_the_tables(broker, await _chosen(broker, [], None))
    record = await broker.resume(job, budget_usd=budget)
    if record.state is State.SUCCEEDED:
        OUT.note(f"{record.id} has succeeded already")
    return await _to_the_tables(broker, await _chosen(broker, [record.id], None))


def _detached(jobs: Sequence[Job]) -> None:
    from broker.cli.background import start_background

    process = start_background()
    if OUT.json:
        OUT.data({"jobs": [job.id for job in jobs], "process": process})


def adopt(
    remote_id: Annotated[str, typer.Argument(help="The provider's own id, such as ftjob-….")],
    provider: Annotated[str, typer.Option(help="The account it is in.", autocompletion=complete_provider)] = "openai",
    job: Annotated[str | None, typer.Option(help="The lost job that it is.", autocompletion=complete_job)] = None,
    validation: Annotated[str | None, typer.Option(help="Judge its model on these rows.")] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Name of the experiment.", autocompletion=complete_experiment)
    ] = None,
) -> int:
    """Take over a job that exists at a provider."""
    from broker.cli.words import job_data

    async def work(broker: Broker) -> Job:
        return await broker.adopt(provider, remote_id, job=job, validation=validation, experiment=experiment)

    record = context.run(work, drive=False)
    if OUT.json:
        OUT.data(job_data(record))
    else:
        OUT.say(record.id)
        OUT.note(f"{remote_id} is {record.id} now; broker watch {record.id} follows it")
    return EXIT_OK


def work(
    forever: Annotated[bool, typer.Option("--forever", help="Wait for new jobs when none is left.")] = False,
) -> int:
    """Drive the jobs of the store."""

    async def drive(broker: Broker) -> int:
        import anyio

        from broker.cli.follow import view_of

        seen: int = -1
        known: set[str] = set()
        with view_of([]) as view:
            while True:
                async for event in broker.watch(after=seen):
                    seen = event.seq
                    if event.job_id not in known:
                        known.add(event.job_id)
                        view.add(await broker.job(event.job_id))
                    view.show(event)
                if not forever:
                    break
                await anyio.sleep(_IDLE_S)
        if OUT.json:
            OUT.data({"jobs": sorted(known)})
        return EXIT_OK

    return gently(drive)
