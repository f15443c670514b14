"""Looking at jobs and telling them what to do."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.api import Broker
    from broker.jobs.records import Event, Job
    from broker.jobs.states import State
    from broker.jobs.store.protocol import Store

JobArgument = Annotated[str, typer.Argument(help="Id of a job, or the beginning of one.", metavar="JOB")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Jobs"
    app.command(name="jobs", help=_JOBS_HELP, rich_help_panel=panel)(list_jobs)
    app.command(help="Everything about one job.\n\nExample: broker status tune-k3f9", rich_help_panel=panel)(status)
    app.command(help=_WATCH_HELP, rich_help_panel=panel)(watch)
    app.command(help="What happened to a job.\n\nExample: broker logs tune-k3f9 -f", rich_help_panel=panel)(logs)
    app.command(help="End a job.\n\nExample: broker cancel tune-k3f9", rich_help_panel=panel)(cancel)
    app.command(help="Let a job rest.\n\nExample: broker pause tune-k3f9", rich_help_panel=panel)(pause)
    app.command(help=_RESUME_HELP, rich_help_panel=panel)(resume)
    app.command(help=_ADOPT_HELP, rich_help_panel=panel)(adopt)
    app.command(help="Drive the jobs of the store until none is left.", rich_help_panel=panel)(work)


_JOBS_HELP = """The newest jobs.

[bold]Examples[/bold]

  broker jobs

  broker jobs --state running --state failed

  broker jobs --experiment tone --json
"""
_WATCH_HELP = """Follow jobs until they rest, and drive them meanwhile.

[bold]Examples[/bold]

  broker watch

  broker watch tune-k3f9

  broker watch --experiment tone
"""
_RESUME_HELP = """Go on: with a paused job, with a failed, cancelled or lost one (a new attempt), or with all unfinished ones.

[bold]Examples[/bold]

  broker resume

  broker resume tune-k3f9
"""
_ADOPT_HELP = """Take over a job that exists at a provider: one made elsewhere, or the remains of a lost one.

[bold]Examples[/bold]

  broker adopt ftjob-abc123

  broker adopt ftjob-abc123 --provider azure --validation val.jsonl

  broker adopt ftjob-abc123 --job tune-k3f9
"""


def list_jobs(
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state; several times.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Only jobs of this experiment.")] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only jobs of this account.")] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 30,
    offset: Annotated[int, typer.Option(help="Leave out so many of the newest.", min=0)] = 0,
) -> int:
    """List the newest jobs."""
    from broker.cli.words import job_data

    with context.store() as store:
        found = store.jobs(
            experiment=experiment,
            states=_states(state) if state else None,
            providers=provider or None,
            newest_first=True,
            limit=limit,
            offset=offset,
        )
        counts = store.count_jobs(experiment=experiment)
    if OUT.json:
        OUT.data([job_data(job) for job in found])
        return EXIT_OK
    _print_jobs(found)
    total = sum(counts.values())
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    OUT.notes.print(f"{len(found)} of {total} jobs" + (f": {words}" if words else ""), highlight=False)
    return EXIT_OK


def _states(names: Sequence[str]) -> list[State]:
    import difflib

    from broker.jobs.states import State

    for name in names:
        if name not in list(State):
            near = difflib.get_close_matches(name, list(State), n=1)
            fix = f"did you mean {near[0]}?" if near else f"one of: {', '.join(State)}"
            raise UserError(f"{name!r} is no state", where="--state", fix=fix)
    return [State(name) for name in names]


def _print_jobs(jobs: Iterable[Job]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import STATE_STYLE, dollars, duration, job_title, since

    table = Table("job", "state", "what", "experiment", "time", "cost", "asked", box=box.SIMPLE_HEAD)
    for job in jobs:
        look = " (no answer)" if job.look is not None and not job.resting else ""
        table.add_row(
            job.id,
            Text(job.state + look, style=STATE_STYLE[job.state]),
            Text(job_title(job)),
            Text(job.experiment),
            duration(job),
            dollars(job.cost_usd if job.cost_usd is not None else job.reserved_usd),
            since(job.created_at),
        )
    OUT.console.print(table)


def status(job: JobArgument) -> int:
    """Show everything about one job."""
    from broker.cli.words import job_data

    with context.store() as store:
        found = store.job(job)
        intents = store.intents(found.id)
    if OUT.json:
        sends = [{"key": intent.key, "attempt": intent.attempt, "sends": intent.sends} for intent in intents]
        OUT.data({**job_data(found), "intents": sends})
        return EXIT_OK
    _print_status(found)
    return EXIT_OK


def _print_status(job: Job) -> None:
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import STATE_STYLE, dollars, duration, job_title, since

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows: dict[str, Any] = {
        "job": f"{job.id}  ({job_title(job)})",
        "state": Text(job.state, style=STATE_STYLE[job.state]),
        "experiment": job.experiment,
        "provider": job.provider + (f", as {job.handle.id}" if job.handle else ""),
        "provider says": job.remote_status,
        "attempt": job.attempt if job.attempt > 1 else None,
        "intent": job.intent_key,
        "asked": since(job.created_at),
        "time": duration(job),
        "cost": f"{dollars(job.cost_usd)} (reserved {dollars(job.reserved_usd)})",
        "model": (job.model.adapter or job.model.name) if job.model else None,
        "waits for": ", ".join(job.depends_on) or None,
        "wish": job.wish,
        "result": ", ".join(f"{name} {_number(value)}" for name, value in job.result.items()) or None,
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(Text(name, style="dim"), value if isinstance(value, Text) else Text(str(value)))
    for title, failure in (("failure", job.failure), ("last look", job.look)):
        if failure is not None:
            table.add_row(Text(title, style="red"), Text(failure.message))
            table.add_row(Text("fix", style="green"), Text(failure.fix or "–"))
    OUT.console.print(table)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def watch(
    job: Annotated[list[str] | None, typer.Argument(help="Jobs; all unfinished ones when not given.")] = None,
    experiment: Annotated[str | None, typer.Option(help="All jobs of this experiment.")] = None,
) -> int:
    """Follow jobs until they rest."""

    async def work(broker: Broker) -> int:
        from broker.cli.follow import follow
        from broker.cli.results import show_table
        from broker.cli.submit import tell_failures

        jobs = await _chosen(broker, job, experiment)
        if not jobs:
            OUT.notes.print("no unfinished jobs; broker jobs lists the others")
            return EXIT_OK
        ended = await follow(broker, jobs)
        for name in dict.fromkeys(found.experiment for found in ended):
            show_table(await broker.results(name))
        return tell_failures(ended)

    return _gently(work)


async def _chosen(broker: Broker, names: Sequence[str] | None, experiment: str | None) -> list[Job]:
    if names:
        return [await broker.job(name) for name in names]
    if experiment is not None:
        return await broker.jobs(experiment=(await broker.experiment(experiment)).name)
    return [found for found in await broker.jobs() if not found.resting]


def _gently(work: Any, *, drive: bool = True) -> int:
    from broker.cli.follow import Steps

    steps = Steps()
    try:
        code: int = context.run(work, drive=drive, report=steps.report)
    except context.StoppedError:
        OUT.notes.print("stopped; broker watch goes on")
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    return code


def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job rests.")] = False,
    after: Annotated[int, typer.Option(help="Only events with a greater number.")] = 0,
) -> int:
    """Print what happened to a job."""
    import time

    with context.store() as store:
        job_id = store.job(job).id
        while True:
            resting = store.job(job_id).resting
            after = _print_events(store, job_id, after)
            if not follow or resting:
                return EXIT_OK
            time.sleep(0.5)


def _print_events(store: Store, job_id: str, after: int) -> int:
    while events := store.events(job_id, after=after, limit=1000):
        for event in events:
            _print_event(event)
        after = events[-1].seq
    return after


def _print_event(event: Event) -> None:
    import json
    import sys

    from rich.text import Text

    if OUT.json:
        from broker.jobs.codec import dump

        sys.stdout.write(json.dumps(dump(event), ensure_ascii=False) + "\n")
        return
    words = " ".join(f"{name}={_number(value)}" for name, value in event.data.items() if value is not None)
    at = event.at.astimezone(UTC)
    OUT.console.print(Text(f"{event.seq:>6} {at:%Y-%m-%d %H:%M:%S} {event.kind:<10} {words}"), soft_wrap=True)


def _wish(job: str, method: str, said: str) -> int:
    async def work(broker: Broker) -> Job:
        record: Job = await getattr(broker, method)(job)
        return record

    from broker.cli.words import job_data

    record = context.run(work, drive=False)
    if OUT.json:
        OUT.data(job_data(record))
    elif record.terminal:
        OUT.notes.print(f"{record.id} is {record.state} already", highlight=False)
    else:
        OUT.notes.print(f"{record.id}: {said}", highlight=False)
    return EXIT_OK


def cancel(job: JobArgument) -> int:
    """Ask for the end of a job."""
    return _wish(job, "cancel", "the end is asked for; whoever drives it acts on it (broker watch does)")


def pause(job: JobArgument) -> int:
    """Ask for a pause of a job."""
    return _wish(job, "pause", "a pause is asked for; broker resume goes on")


def resume(
    job: Annotated[str | None, typer.Argument(help="A job; all unfinished ones when not given.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Go on with a job, or with everything that is unfinished."""

    async def ask(broker: Broker) -> Job:
        assert job is not None
        return await broker.resume(job)

    found = [context.run(ask, drive=False).id] if job is not None else None
    if detach:
        from broker.cli.background import start_background

        start_background()
        return EXIT_OK
    return watch(found, None)


def adopt(
    remote_id: Annotated[str, typer.Argument(help="The provider's own id, such as ftjob-….")],
    provider: Annotated[str, typer.Option(help="The account it is in.")] = "openai",
    job: Annotated[str | None, typer.Option(help="The lost job that it is.")] = None,
    validation: Annotated[str | None, typer.Option(help="Judge its model on these rows.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Name of the experiment.")] = None,
) -> int:
    """Take over a job that exists at a provider."""
    from broker.cli.words import job_data

    async def work(broker: Broker) -> Job:
        return await broker.adopt(provider, remote_id, job=job, validation=validation, experiment=experiment)

    record = context.run(work, drive=False)
    if OUT.json:
        OUT.data(job_data(record))
    else:
        OUT.notes.print(f"{remote_id} is {record.id} now; broker watch {record.id} follows it", highlight=False)
    return EXIT_OK


def work(
    forever: Annotated[bool, typer.Option("--forever", help="Wait for new jobs when none is left.")] = False,
) -> int:
    """Drive the jobs of the store."""

    async def drive(broker: Broker) -> int:
        import anyio

        while True:
            await broker.wait()
            if not forever:
                return EXIT_OK
            await anyio.sleep(1.0)

    return _gently(drive)
