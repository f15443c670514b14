"""How jobs, money and times are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.spec import EvaluateSpec, TuneSpec, kind_of
from broker.jobs.states import State

if TYPE_CHECKING:
    from broker.jobs.records import Job
    from broker.jobs.spec import Spec

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


def job_data(job: Job) -> dict[str, Any]:
    """Return a job as plain JSON data."""
    from broker.jobs.codec import dump

    data: dict[str, Any] = dump(job)
    return data


def job_title(job: Job) -> str:
    """Return a short name of a job: what it does to which model, where."""
    return spec_title(job.spec, job.label)


def spec_title(spec: Spec, label: str = "") -> str:
    """Return what a job does to which model, where.

    Args:
        spec: What is asked.
        label: What a person calls it.
    """
    kind = kind_of(spec)
    if label:
        return f"{kind} {label}"
    if isinstance(spec, TuneSpec):
        precision = spec.parameters.get("precision")
        return f"{kind} {spec.provider}:{spec.model}" + (f" {precision}" if precision else "")
    if isinstance(spec, EvaluateSpec):
        asked = spec.model.label if spec.model is not None else f"the model of {spec.tune_job}"
        return f"{kind} {asked}" + (f", {spec.policy.name}" if spec.policy.name != "as-is" else "")
    return f"{kind} {spec.rows} rows ({spec.pipeline}), {spec.provider}:{spec.model}"


def state_words(job: Job) -> str:
    """Return a job's state, and what stands beside it: a wish that nobody has acted on, a provider that is silent."""
    silent = job.look is not None and not job.resting
    beside = [f"{job.wish} asked" if job.wish else "", "no answer" if silent else ""]
    words = ", ".join(word for word in beside if word)
    return f"{job.state} ({words})" if words else str(job.state)


def dollars(amount: float | None) -> str:
    """Return an amount of money; nothing is "free", an unknown amount a dash."""
    if amount is None:
        return "–"
    if amount == 0:
        return "free"
    return f"${amount:.2f}" if amount >= 0.01 else f"${amount:.4f}"


def spread(low: float, high: float) -> str:
    """Return an estimate: one amount, or from the least to the most."""
    return dollars(high) if dollars(low) == dollars(high) else f"{dollars(low)} to {dollars(high)}"


def cost_words(job: Job) -> str:
    """Return what a job did cost, what was paid until it was paused, or what is reserved for it."""
    if job.cost_usd is not None:
        return dollars(job.cost_usd)
    if job.state is State.PAUSED and (paid := job.result.get("cost_usd")):
        return f"{dollars(paid)} so far"
    return f"≤ {dollars(job.reserved_usd)}" if job.reserved_usd else "free"


def since(moment: datetime) -> str:
    """Return how long ago a moment was, such as `3 min ago`."""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def duration(job: Job) -> str:
    """Return how long a job worked, `1 min 5 s`."""
    if job.started_at is None:
        return "–"
    return spell_seconds(((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds())


def spell_seconds(seconds: float) -> str:
    """Return a duration as people say it."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: object) -> str:
    """Return a number with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
