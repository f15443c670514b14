"""How jobs, money and times are written. Jobs come as plain data here: as `--json` prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.states import RESTING, JobKind, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.jobs.records import Job

STATE_STYLE: dict[str, str] = {
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


def job_title(job: Mapping[str, Any]) -> str:
    """Return a short name of a job: what it does to which model, where.

    Args:
        job: Plain data.
    """
    spec, kind = job["spec"], job["kind"]
    if job["label"]:
        return f"{kind} {job['label']}"
    if kind == JobKind.TUNE:
        precision = spec["parameters"].get("precision")
        return f"{kind} {spec['provider']}:{spec['model']}" + (f" {precision}" if precision else "")
    if kind == JobKind.EVALUATE:
        return f"{kind} " + (model_name(spec["model"]) if spec["model"] else f"the model of {spec['tune_job']}")
    return f"{kind} {spec['provider']}"


def model_name(model: Mapping[str, Any]) -> str:
    """Return `provider:name`, with the precision where it is known.

    Args:
        model: Plain data of a `ModelRef`.
    """
    return f"{model['provider']}:{model['name']}" + (f" ({model['precision']})" if model["precision"] else "")


def state_words(job: Mapping[str, Any]) -> str:
    """Return a job's state, and what stands beside it: a wish that nobody has acted on, a provider that is silent.

    Args:
        job: Plain data.
    """
    silent = job["look"] and job["state"] not in RESTING
    beside = [f"{job['wish']} asked" if job["wish"] else "", "no answer" if silent else ""]
    words = ", ".join(word for word in beside if word)
    return f"{job['state']} ({words})" if words else str(job["state"])


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


def cost_words(job: Mapping[str, Any]) -> str:
    """Return what a job did cost, or what is reserved for it.

    Args:
        job: Plain data.
    """
    if job["cost_usd"] is not None:
        return dollars(job["cost_usd"])
    return f"≤ {dollars(job['reserved_usd'])}" if job["reserved_usd"] else "free"


def since(moment: str | None) -> str:
    """Return how long ago a moment was, such as `3 min ago`.

    Args:
        moment: As in plain data.
    """
    if moment is None:
        return "–"
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def duration(job: Mapping[str, Any]) -> str:
    """Return how long a job worked, `1 min 5 s`.

    Args:
        job: Plain data.
    """
    if job["started_at"] is None:
        return "–"
    end = datetime.fromisoformat(job["finished_at"]) if job["finished_at"] else datetime.now(UTC)
    return spell_seconds((end - datetime.fromisoformat(job["started_at"])).total_seconds())


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
