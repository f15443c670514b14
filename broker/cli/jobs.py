"""Looking at jobs: the list, one of them, its history. Begins fast and drives nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.completion import complete_experiment, complete_job, complete_provider, complete_state
from broker.cli.output import OUT
from broker.errors import EXIT_OK, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from broker.jobs.records import Event, Job
    from broker.jobs.states import State
    from broker.jobs.store.protocol import StoreView

JobArgument = Annotated[
    str, typer.Argument(help="Id of a job, or the beginning of one.", metavar="JOB", autocompletion=complete_job)
]

_JOBS_HELP = """List the newest jobs.

[bold]Examples[/bold]

  broker jobs

  broker jobs --state running --state failed

  broker jobs --experiment tone --json
"""
_STATUS_HELP = """Show everything about one job.

[bold]Examples[/bold]

  broker status tune-k3f9

  broker status tune-k3f9 --json
"""
_LOGS_HELP = """Show what happened to a job.

[bold]Examples[/bold]

  broker logs tune-k3f9

  broker logs tune-k3f9 --follow

With --json: a list, or with --follow one object a line.
"""
# What a terminal with too few columns goes without, first to last.
_DISPENSABLE = ("asked", "time", "cost", "experiment")
_NARROW = 50
_LOOK_S = 0.5


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Jobs"
    app.command(name="jobs", help=_JOBS_HELP, rich_help_panel=panel)(list_jobs)
    app.command(help=_STATUS_HELP, rich_help_panel=panel)(status)
    app.command(help=_LOGS_HELP, rich_help_panel=panel)(logs)


def list_jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="Only jobs in this state; several times.", autocompletion=complete_state)
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Only jobs of this experiment.", autocompletion=complete_experiment)
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs of this account; several times.", autocompletion=complete_provider),
    ] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 30,
    offset: Annotated[int, typer.Option(help="Leave out so many of the newest.", min=0)] = 0,
) -> int:
    """List the newest jobs."""
    states = _states(state or [])
    with context.look() as store:
        if experiment is not None:
            store.experiment(experiment)
        found = store.jobs(
            experiment=experiment,
            states=states or None,
            providers=provider or None,
            newest_first=True,
            limit=limit,
            offset=offset,
        )
        counts = store.count_jobs(experiment=experiment)
    if OUT.json:
        from broker.cli.words import job_data

        OUT.data([job_data(job) for job in found])
        return EXIT_OK
    if found:
        OUT.table(_jobs_table(found, OUT.console.width if OUT.console.is_terminal else None))
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    total = sum(counts.values())
    OUT.note(f"{len(found)} of {total} jobs: {words}" if total else "no jobs yet; broker submit --help")
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


def _jobs_table(jobs: Sequence[Job], width: int | None) -> Table:
    """Return the table of jobs with as many columns as fit, but always an id that can be copied.

    Args:
        jobs: At least one.
        width: Of the terminal; None has room for everything.
    """
    columns = ["job", "state", "what", "experiment", "time", "cost", "asked"]
    table = _drawn(jobs, columns)
    for column in _DISPENSABLE:
        if width is None or OUT.width_of(table) <= width:
            return table
        columns.remove(column)
        table = _drawn(jobs, columns)
    return table if width is None or width >= _NARROW else _drawn(jobs, ["job", "state"])


def _drawn(jobs: Sequence[Job], columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import STATE_STYLE, cost_words, duration, job_title, since, state_words

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        width = max(len(job.id) for job in jobs) if name == "job" else None
        table.add_column(name, no_wrap=name != "what", overflow="fold", min_width=width)
    for job in jobs:
        cells = {
            "job": Text(job.id),
            "state": Text(state_words(job), style=STATE_STYLE[job.state]),
            "what": Text(job_title(job)),
            "experiment": Text(job.experiment),
            "time": Text(duration(job)),
            "cost": Text(cost_words(job)),
            "asked": Text(since(job.created_at)),
        }
        table.add_row(*(cells[name] for name in columns))
    return table


def status(job: JobArgument) -> int:
    """Show everything about one job."""
    with context.look() as store:
        found = store.job(job)
        intents = store.intents(found.id)
    if OUT.json:
        from broker.cli.words import job_data

        sends = [{"key": intent.key, "attempt": intent.attempt, "sends": intent.sends} for intent in intents]
        OUT.data({**job_data(found), "intents": sends})
    else:
        _print_status(found)
    return EXIT_OK


def _print_status(job: Job) -> None:
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import STATE_STYLE

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _status_rows(job).items():
        style = STATE_STYLE[job.state] if name == "state" else ""
        if value is not None:
            table.add_row(Text(name, style="dim"), Text(str(value), style=style))
    for title, failure in (("failure", job.failure), ("last look", job.look)):
        if failure is not None:
            table.add_row(Text(title, style="red"), Text(failure.message))
            if failure.fix:
                table.add_row(Text("fix", style="green"), Text(failure.fix))
    OUT.table(table)


def _status_rows(job: Job) -> dict[str, Any]:
    from broker.cli.words import cost_words, duration, job_title, number, since, state_words
    from broker.jobs.spec import EvaluateSpec, TuneSpec

    spec = job.spec
    data = spec.train if isinstance(spec, TuneSpec) else spec.validation if isinstance(spec, EvaluateSpec) else None
    given: Mapping[str, object] = spec.parameters if isinstance(spec, TuneSpec) else {}
    numbers = [f"{name} {number(value)}" for name, value in job.result.items() if value is not None]
    return {
        "job": job.id,
        "what": job_title(job),
        "state": state_words(job),
        "experiment": job.experiment,
        "provider": job.provider + (f", as {job.handle.id}" if job.handle else ""),
        "provider says": job.remote_status,
        "data": f"{data.name}, {data.rows} rows" if data else None,
        "parameters": ", ".join(f"{name}={value}" for name, value in given.items()) or None,
        "attempt": job.attempt if job.attempt > 1 else None,
        "intent": job.intent_key,
        "asked": since(job.created_at),
        "time": duration(job),
        "cost": cost_words(job),
        "model": (job.model.adapter or job.model.name) if job.model else None,
        "waits for": ", ".join(job.depends_on) or None,
        "result": ", ".join(numbers) or None,
    }


def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job rests.")] = False,
    after: Annotated[int, typer.Option(help="Only events with a greater number.", min=0)] = 0,
) -> int:
    """Show what happened to a job."""
    import time

    with context.look() as store:
        job_id = store.job(job).id
        if OUT.json and not follow:
            OUT.data([_event_data(event) for event in _events(store, job_id, after)])
            return EXIT_OK
        while True:
            resting = store.job(job_id).resting
            for event in _events(store, job_id, after):
                _print_event(event)
                after = event.seq
            if not follow or resting:
                return EXIT_OK
            time.sleep(_LOOK_S)


def _events(store: StoreView, job_id: str, after: int) -> list[Event]:
    found: list[Event] = []
    while events := store.events(job_id, after=after, limit=1000):
        found += events
        after = events[-1].seq
    return found


def _event_data(event: Event) -> dict[str, Any]:
    from broker.jobs.codec import dump

    data: dict[str, Any] = dump(event)
    return data


def _print_event(event: Event) -> None:
    from broker.cli.words import number

    if OUT.json:
        OUT.line(_event_data(event))
        return
    words = " ".join(f"{name}={number(value)}" for name, value in event.data.items() if value is not None)
    OUT.say(f"{event.seq:>6} {event.at.astimezone():%Y-%m-%d %H:%M:%S} {event.kind:<10} {words}")
