"""How jobs, money and times are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.spec import EvaluateSpec, TuneSpec
from broker.jobs.states import State

if TYPE_CHECKING:
    from broker.jobs.records import Job

STATE_STYLE: dict[State, str] = {
    State.QUEUED: "dim",
    State.PREPARING: "cyan",
    State.SUBMITTING: "cyan",
    State.RUNNING: "blue",
    State.PAUSING: "yellow",
    State.PAUSED: "yellow",
    State.CANCELLING: "yellow",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
    State.LOST: "bold red",
}


def job_title(job: Job) -> str:
    """Return a short name of a job: what it does to which model, where."""
    spec = job.spec
    if job.label:
        return f"{job.kind} {job.label}"
    if isinstance(spec, TuneSpec):
        precision = spec.parameters.get("precision")
        return f"{job.kind} {spec.provider}:{spec.model}" + (f" {precision}" if precision else "")
    if isinstance(spec, EvaluateSpec):
        return f"{job.kind} " + (spec.model.label if spec.model is not None else f"the model of {spec.tune_job}")
    return f"{job.kind} {spec.provider}"


def dollars(amount: float | None) -> str:
    """Return an amount of money; nothing is "free", an unknown amount a dash."""
    if amount is None:
        return "–"
    if amount == 0:
        return "free"
    return f"${amount:.2f}" if amount >= 0.01 else f"${amount:.4f}"


def since(moment: datetime | None) -> str:
    """Return how long ago a moment was, such as `3 min ago`."""
    if moment is None:
        return "–"
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def duration(job: Job) -> str:
    """Return how long a job worked, `1 min 5 s`."""
    if job.started_at is None:
        return "–"
    seconds = ((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds()
    return spell_seconds(seconds)


def spell_seconds(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def job_data(job: Job) -> dict[str, Any]:
    """Return a job as plain JSON data."""
    from broker.jobs.codec import dump

    data: dict[str, Any] = dump(job)
    return data
