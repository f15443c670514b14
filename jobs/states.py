"""The states of a job and the one table that says which may follow which.

```
queued → preparing → submitting → running → succeeded | failed | cancelled
                                  running ⇄ pausing → paused → running
                                  running → cancelling → cancelled
                     submitting | running → lost      (the provider cannot say; a person decides)
                     submitting ⇄ paused              (nothing was created yet)
```

An evaluation has no `submitting`: nothing is created at a provider, and an answer may be asked for again.
A synthesis is like an evaluation unless it uses remote batches, whose handles are kept in its row store.
A person may send `failed`, `cancelled` or `lost` back to `queued`; that is a new attempt with a new intent key.
"""

from __future__ import annotations

from enum import StrEnum

from broker.errors import IllegalTransitionError


class JobKind(StrEnum):
    """What a job is for."""

    TUNE = "tune"
    SYNTHESIZE = "synthesize"
    EVALUATE = "evaluate"


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    PREPARING = "preparing"
    SUBMITTING = "submitting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


_S = State
TERMINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED})
# Nobody drives these until a person (or, for `paused`, a resume request) says so.
RESTING = TERMINAL | {_S.PAUSED, _S.LOST}

_ENDS = {_S.SUCCEEDED, _S.FAILED, _S.CANCELLED}
TRANSITIONS: dict[State, frozenset[State]] = {
    _S.QUEUED: frozenset({_S.PREPARING, _S.PAUSED, _S.CANCELLED, _S.FAILED}),
    _S.PREPARING: frozenset({_S.QUEUED, _S.SUBMITTING, _S.RUNNING, _S.PAUSED, _S.FAILED, _S.CANCELLED}),
    _S.SUBMITTING: frozenset({_S.RUNNING, _S.PAUSED, _S.FAILED, _S.CANCELLING, _S.CANCELLED, _S.LOST}),
    _S.RUNNING: frozenset({_S.PAUSING, _S.PAUSED, _S.CANCELLING, _S.LOST, *_ENDS}),
    _S.PAUSING: frozenset({_S.PAUSED, _S.RUNNING, _S.CANCELLING, _S.LOST, *_ENDS}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.SUBMITTING, _S.RUNNING, _S.CANCELLING, _S.LOST, *_ENDS}),
    _S.CANCELLING: frozenset({_S.LOST, *_ENDS}),
    _S.LOST: frozenset({_S.QUEUED, _S.RUNNING, _S.FAILED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.CANCELLED: frozenset({_S.QUEUED}),
}
_NO_CREATE = frozenset({JobKind.EVALUATE, JobKind.SYNTHESIZE})


def allowed(kind: JobKind, now: State) -> frozenset[State]:
    """Return the states that may follow `now` for a job of this kind."""
    after = TRANSITIONS[now]
    if kind in _NO_CREATE:
        return after - {State.SUBMITTING}
    return after - ({State.RUNNING} if now is State.PREPARING else frozenset())


def require(kind: JobKind, now: State, to: State) -> None:
    """Check one step of the life of a job.

    Args:
        kind: The kind of job.
        now: The present state.
        to: The state wanted.

    Raises:
        IllegalTransitionError: The table does not have this step.
    """
    if to not in allowed(kind, now):
        known = ", ".join(sorted(allowed(kind, now))) or "nothing"
        raise IllegalTransitionError(f"a {kind} job cannot go from {now} to {to}; from {now} it may go to {known}")
