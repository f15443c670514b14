"""A job as the server shows it, in the broker's words; forgiving about what servers leave out or add. Pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from broker.jobs.spec import ModelRef
from broker.providers.contract import RemoteState, RemoteStatus, Verdict
from broker.providers.foreign_json import Item, fields
from broker.providers.openai_tuning.listing import created_at
from broker.providers.openai_tuning.progress import moment
from broker.providers.openai_tuning.statuses import JOB_STATES

if TYPE_CHECKING:
    from collections.abc import Callable

# One for all: a hundred thousand running jobs have no results.
_NOTHING: dict[str, Any] = {}


def status(
    item: Item, *, account: str, cost: Callable[[str, int | None], float | None], censor: Callable[[str], str]
) -> RemoteStatus:
    """Return a job's status; an unknown word leaves the state open.

    Args:
        item: The job as the server sent it.
        account: The account that serves its model.
        cost: Returns the price of (base model, trained tokens).
        censor: Removes secrets from texts.
    """
    raw = sys.intern(str(item.get("status")))
    state = JOB_STATES.get(raw)
    code, message = _error(item) if state is RemoteState.FAILED else ("", "")
    tuned, tokens = item.get("fine_tuned_model"), item.get("trained_tokens")
    trained = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None
    done = state is RemoteState.SUCCEEDED
    return RemoteStatus(
        state=state,
        raw=raw,
        model=ModelRef(provider=account, name=tuned) if isinstance(tuned, str) and tuned else None,
        error_code=code,
        error_message=censor(message),
        trained_tokens=trained,
        cost_usd=cost(str(item.get("model")), trained) if done else None,
        result=_result(item) if done else _NOTHING,
        finished_at=moment(item.get("finished_at")),
    )


def unseen(verdict: Verdict) -> RemoteStatus:
    """Return the status of a job that could not be looked at: its state stays."""
    return RemoteStatus(state=None, raw="", error_code=verdict.code, error_message=verdict.message, fix=verdict.fix)


def after(found: list[Item], last: str | None) -> list[Item]:
    """Return the events after one, oldest first, whichever way the server ordered them.

    Args:
        found: Events.
        last: Id of the last one known.
    """
    rising = len(found) > 1 and created_at(found[0]) < created_at(found[-1])
    ordered = found if rising else found[::-1]
    ids = [str(item["id"]) for item in ordered]
    return ordered[ids.index(last) + 1 :] if last in ids else ordered


def _error(item: Item) -> tuple[str, str]:
    """Return code and message of a failed job; servers send null, `{}`, or parts of it."""
    error = fields(item.get("error"))
    return str(error.get("code") or "failed"), str(error.get("message") or "the provider gave no reason")


def _result(item: Item) -> dict[str, Any]:
    kept = {name: item.get(name) for name in ("trained_tokens", "seed", "result_files")}
    kept["hyperparameters"] = fields(item.get("hyperparameters")) or None
    return {name: value for name, value in kept.items() if value is not None}
