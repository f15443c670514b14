"""The end of a run: the tables, why jobs failed, and the exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.cli.output import OUT
from broker.errors import EXIT_BUDGET, EXIT_JOB_FAILED, EXIT_LOST, EXIT_OK
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.jobs.records import Job
    from broker.results import ResultsTable


def show_outcome(jobs: Sequence[Job], tables: Sequence[ResultsTable], *, also: Mapping[str, Any] | None = None) -> int:
    """Show how it ended: one JSON object with `--json`, else tables and remarks.

    Args:
        jobs: All jobs, as they are now.
        tables: The results of their experiments.
        also: Further members of the JSON object.

    Returns:
        The exit code.
    """
    if OUT.json:
        OUT.data({**(also or {}), **outcome_data(jobs, tables)})
        return exit_code(jobs)
    from broker.cli.making import show_made
    from broker.cli.results import show_table

    for job in jobs:
        if job.kind is JobKind.SYNTHESIZE:
            show_made(job)
    for table in tables:
        if table.rows:
            show_table(table)
    code = tell_failures(jobs)
    _what_next(jobs)
    return code


def outcome_data(jobs: Sequence[Job], tables: Sequence[ResultsTable]) -> dict[str, Any]:
    """Return jobs and tables as plain JSON data."""
    from broker.cli.words import job_data
    from broker.results import to_json

    return {"jobs": [job_data(job) for job in jobs], "tables": [json.loads(to_json(table)) for table in tables]}


def tell_failures(jobs: Sequence[Job]) -> int:
    """Say why jobs did not succeed; return the exit code."""
    bad = {job.id for job in jobs if job.state in (State.FAILED, State.LOST)}
    for job in jobs:
        # What only waited for a failed job has nothing of its own to tell.
        spent = out_of_money(job)
        if spent or (job.failure is not None and job.id in bad and not bad.intersection(job.depends_on)):
            assert job.failure is not None
            OUT.note(f"{job.id} {job.state}: {job.failure.message}", style="red")
            if job.failure.fix:
                OUT.note(f"  fix: {job.failure.fix}")
    return exit_code(jobs)


def exit_code(jobs: Sequence[Job]) -> int:
    """Return the exit code that says how jobs ended."""
    states = {job.state for job in jobs}
    if State.LOST in states:
        return EXIT_LOST
    if any(map(out_of_money, jobs)):
        return EXIT_BUDGET
    return EXIT_JOB_FAILED if states & {State.FAILED, State.CANCELLED} else EXIT_OK


def out_of_money(job: Job) -> bool:
    """Say whether a job rests because its budget is spent."""
    return job.state is State.PAUSED and job.failure is not None and job.failure.code == "budget"


def _what_next(jobs: Sequence[Job]) -> None:
    tuned = next((job for job in jobs if job.kind is JobKind.TUNE and job.state is State.SUCCEEDED), None)
    for name in dict.fromkeys(job.experiment for job in jobs if job.kind is not JobKind.SYNTHESIZE):
        OUT.note(
            f"this table again:  broker results {name}   (as a page with figures and answers: --html)", style="dim"
        )
    if tuned is not None:
        OUT.note(f"talk to a model:   broker chat {tuned.id}", style="dim")
