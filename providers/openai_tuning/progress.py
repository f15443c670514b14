"""Events, checkpoints and result files of a job, in the broker's own words.."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.records import EventKind
from broker.jobs.spec import ModelRef
from broker.providers.contract import Checkpoint, RemoteEvent
from broker.providers.foreign_json import fields

if TYPE_CHECKING:
    from broker.providers.foreign_json import Item

# "Step 10/90: training loss=0.53, validation loss=0.61", as the live service words it.
_STEP = re.compile(r"[Ss]tep (\d+)(?:/(\d+))?: training loss=([\d.eE+-]+)(?:.*?validation loss=([\d.eE+-]+))?")
_NAMES = {
    "step": "step",
    "total_steps": "total_steps",
    "train_loss": "loss",
    "valid_loss": "valid_loss",
    "full_valid_loss": "full_valid_loss",
    "train_mean_token_accuracy": "accuracy",
    "valid_mean_token_accuracy": "valid_accuracy",
    "learning_rate": "learning_rate",
    "tokens_per_s": "tokens_per_s",
}


def remote_event(item: Item) -> RemoteEvent:
    """Return one event of the server in the broker's words: numbers as progress, words as log.

    Args:
        item: The event as the server sent it.
    """
    at = moment(item.get("created_at"))
    numbers = _numbers(item.get("data")) or _from_words(str(item.get("message") or ""))
    if numbers and (item.get("type") == "metrics" or "loss" in numbers):
        return RemoteEvent(id=str(item["id"]), kind=EventKind.PROGRESS, data=numbers, at=at)
    data = {"level": str(item.get("level") or "info"), "message": str(item.get("message") or "")}
    return RemoteEvent(id=str(item["id"]), kind=EventKind.LOG, data=data, at=at)


def checkpoint(item: Item, provider: str) -> Checkpoint:
    """Return one checkpoint of the server.

    Args:
        item: The checkpoint as the server sent it.
        provider: The account that serves its model.
    """
    metrics = item.get("metrics")
    numbers = _numbers(metrics)
    step = item.get("step_number")
    return Checkpoint(
        id=str(item["id"]),
        step=int(step) if isinstance(step, int | float) else 0,
        model=ModelRef(provider=provider, name=str(item.get("fine_tuned_model_checkpoint") or "")),
        metrics={name: float(value) for name, value in numbers.items() if name not in {"step", "total_steps"}},
    )


def moment(value: object) -> datetime | None:
    """Return seconds since 1970 as a time; None when it is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def result_content(content: bytes) -> bytes:
    """Return a result file as CSV: the live service sends it in base64, other servers as it is."""
    head = content.lstrip()[:64]
    if b"," in head or b"\n" in head.strip():
        return content
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return content


def _numbers(data: object) -> dict[str, Any]:
    given = fields(data)
    found = {ours: given.get(theirs) for theirs, ours in _NAMES.items()}
    return {
        name: value for name, value in found.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _from_words(message: str) -> dict[str, Any]:
    match = _STEP.search(message)
    if match is None:
        return {}
    step, total, loss, valid = match.groups()
    try:
        numbers: dict[str, Any] = {"step": int(step), "loss": float(loss)}
        if valid:
            numbers["valid_loss"] = float(valid.rstrip("."))
    except ValueError:
        return {}
    if total:
        numbers["total_steps"] = int(total)
    return numbers
