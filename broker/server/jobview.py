"""How a fine-tuning job, its events and its checkpoints look to a client. Pure.

| the broker's state | status |
|---|---|
| no job yet: the files are being read | `validating_files` |
| queued, preparing, submitting | `queued` |
| running, pausing, cancelling | `running` |
| paused | `paused` |
| lost (a person must decide) | `paused`, with `error.code` `lost` |
| succeeded, failed, cancelled | the same |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from broker.jobs.records import Event, EventKind, Job
from broker.jobs.states import State
from broker.server.ids import letters, short
from broker.server.naming import checkpoint_name, tuned_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.server.backend import StepCheckpoint
    from broker.server.records import JobRecord, Note

STATUS: Mapping[State, str] = {
    State.QUEUED: "queued",
    State.PREPARING: "queued",
    State.SUBMITTING: "queued",
    State.RUNNING: "running",
    State.PAUSING: "running",
    State.PAUSED: "paused",
    State.CANCELLING: "running",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
    State.LOST: "paused",
}
ENDED = frozenset({"succeeded", "failed", "cancelled"})
_LEVELS = {"warning": "warn", "warn": "warn", "error": "error", "critical": "error"}
_BROKER_EVENTS = 1_000_000
_SAID = {
    State.RUNNING: "Fine-tuning job started",
    State.PAUSED: "The job has been paused",
    State.SUCCEEDED: "The job has successfully completed",
    State.FAILED: "The job failed",
    State.CANCELLED: "The job has been cancelled",
    State.LOST: "Nobody can say what became of the job; the server's owner must decide",
}


def status_of(record: JobRecord, job: Job | None) -> str:
    """Return the status that a client sees.

    Args:
        record: The job as asked for.
        job: The broker's job, once there is one.
    """
    if job is not None:
        return STATUS[job.state]
    if record.ended_at is not None:
        return "failed" if record.error_code else "cancelled"
    return "paused" if record.wish == "pause" else "validating_files"


def tuned_model(record: JobRecord, job: Job | None, organization: str) -> str | None:
    """Return the name of the model that a job made, or None."""
    if job is None or job.state is not State.SUCCEEDED:
        return None
    return tuned_name(record.model, organization, record.suffix, short(record.id))


def job_view(record: JobRecord, job: Job | None, organization: str) -> dict[str, Any]:
    """Return the fine-tuning job object.

    Args:
        record: The job as asked for.
        job: The broker's job, once there is one.
        organization: The server's organisation.
    """
    values = {**record.hyperparameters, **record.resolved}
    status = status_of(record, job)
    return {
        "id": record.id,
        "object": "fine_tuning.job",
        "created_at": record.created_at,
        "model": record.model,
        "organization_id": f"org-{organization}",
        "status": status,
        "error": _error(record, job),
        "fine_tuned_model": tuned_model(record, job, organization),
        "finished_at": _finished(record, job) if status in ENDED else None,
        "hyperparameters": {name: values.get(name, "auto") for name in _SHARED},
        "method": {"type": record.method, record.method: {"hyperparameters": values}},
        "training_file": record.training_file,
        "validation_file": record.validation_file,
        "result_files": [record.result_file] if record.result_file and status == "succeeded" else [],
        "trained_tokens": _trained_tokens(job),
        "integrations": record.integrations or [],
        "seed": record.seed,
        "estimated_finish": None,
        "metadata": record.metadata,
    }


def event_views(record: JobRecord, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the events of a job, oldest first; their ids sort by time.

    Args:
        record: The job as asked for; its notes come first.
        events: The broker's events of the job.
    """
    notes = [_note_view(record, position, note) for position, note in enumerate(record.notes)]
    views = (_event_view(record, event) for event in events)
    return notes + [view for view in views if view is not None]


def checkpoint_views(record: JobRecord, found: Sequence[StepCheckpoint], organization: str) -> list[dict[str, Any]]:
    """Return the checkpoints of a job, oldest first; their ids sort by step.

    Args:
        record: The job as asked for.
        found: Its intermediate models.
        organization: The server's organisation.
    """
    tuned = tuned_name(record.model, organization, record.suffix, short(record.id))
    return [
        {
            "id": f"ftckpt-{_numbered(record.id, checkpoint.step)}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": checkpoint.created_at,
            "fine_tuned_model_checkpoint": checkpoint_name(tuned, checkpoint.step),
            "step_number": checkpoint.step,
            "metrics": {"step": checkpoint.step, **_finite(checkpoint.metrics)},
            "fine_tuning_job_id": record.id,
        }
        for checkpoint in found
    ]


def metric_lines(events: Sequence[Event]) -> list[bytes]:
    """Return the step metrics of a job as CSV lines."""
    lines = [b"step,train_loss,valid_loss\n"]
    for event in events:
        if event.kind is EventKind.PROGRESS and isinstance(event.data.get("step"), int):
            row = (event.data["step"], event.data.get("loss"), _valid_loss(event.data))
            lines.append((",".join("" if value is None else f"{value}" for value in row) + "\n").encode())
    return lines


_SHARED = ("n_epochs", "batch_size", "learning_rate_multiplier")


def _error(record: JobRecord, job: Job | None) -> dict[str, Any] | None:
    if job is None:
        if not record.error_code:
            return None
        return {"code": record.error_code, "message": record.error_message, "param": record.error_param}
    if job.state is State.LOST:
        return {"code": "lost", "message": _SAID[State.LOST], "param": None}
    if job.state is not State.FAILED:
        return None
    failure = job.failure
    if failure is None:
        return {"code": "failed", "message": "The job failed.", "param": None}
    return {"code": failure.code, "message": failure.message, "param": None}


def _finished(record: JobRecord, job: Job | None) -> int | None:
    if job is None:
        return record.ended_at
    return int((job.finished_at or job.updated_at).timestamp())


def _trained_tokens(job: Job | None) -> int | None:
    if job is None or job.state is not State.SUCCEEDED:
        return None
    for name in ("trained_tokens", "tokens"):
        if isinstance(job.result.get(name), int):
            return int(job.result[name])
    return None


def _note_view(record: JobRecord, position: int, note: Note) -> dict[str, Any]:
    return _view(record, position, at=note.at, level=note.level, message=note.message)


def _event_view(record: JobRecord, event: Event) -> dict[str, Any] | None:
    position, at = _BROKER_EVENTS + event.seq, int(event.at.timestamp())
    if event.kind is EventKind.PROGRESS:
        return _progress_view(record, position, at, event.data)
    if event.kind is EventKind.LOG:
        level = _LEVELS.get(str(event.data.get("level", "info")).lower(), "info")
        return _view(record, position, at=at, level=level, message=str(event.data.get("message", "")))
    if event.kind is EventKind.CHECKPOINT:
        return _view(record, position, at=at, message=f"Checkpoint created at step {event.data.get('step')}")
    if event.kind is EventKind.STATE:
        said = _SAID.get(State(event.data["to"]))
        level = "error" if event.data["to"] == State.FAILED else "info"
        return None if said is None else _view(record, position, at=at, level=level, message=said)
    return None


def _progress_view(record: JobRecord, position: int, at: int, data: Mapping[str, Any]) -> dict[str, Any]:
    step, total = data.get("step"), data.get("total_steps")
    metrics = {"step": step, "total_steps": total, "train_loss": data.get("loss"), "valid_loss": _valid_loss(data)}
    known = {name: value for name, value in metrics.items() if value is not None}
    loss = data.get("loss")
    message = f"Step {step}/{total}" + (f": training loss={loss:.2f}" if isinstance(loss, int | float) else "")
    return _view(record, position, at=at, message=message, kind="metrics", data=_finite(known))


def _valid_loss(data: Mapping[str, Any]) -> Any:
    return next(
        (data[name] for name in ("valid_loss", "validation_loss", "eval_loss") if data.get(name) is not None), None
    )


def _view(
    record: JobRecord,
    position: int,
    *,
    at: int,
    message: str,
    level: str = "info",
    kind: str = "message",
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "id": f"ftevent-{_numbered(record.id, position)}",
        "object": "fine_tuning.job.event",
        "created_at": at,
        "level": level,
        "message": message,
        "type": kind,
        "data": dict(data or {}),
    }


def _numbered(job_id: str, position: int) -> str:
    """Return the end of the job's id and a number: unique over all jobs, sorted within one."""
    return f"{short(job_id)}{letters(position, 16)}"


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}
