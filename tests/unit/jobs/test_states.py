"""The one table of states."""

from __future__ import annotations

import pytest

from broker.errors import IllegalTransitionError
from broker.jobs.states import RESTING, TERMINAL, TRANSITIONS, JobKind, State, allowed, require

_EVERY = [(kind, now, to) for kind in JobKind for now in State for to in State]


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(State)
    assert TERMINAL < RESTING


@pytest.mark.parametrize("kind", JobKind)
def test_every_state_is_reached_and_left(kind: JobKind) -> None:
    reached, edge = {State.QUEUED}, {State.QUEUED}
    while edge:
        edge = {to for now in edge for to in allowed(kind, now)} - reached
        reached |= edge
    assert reached == set(State) - (set() if kind is JobKind.TUNE else {State.SUBMITTING})
    # Success is final, every other state leads somewhere, and an end is reached from each of them.
    assert [state for state in State if not allowed(kind, state)] == [State.SUCCEEDED]
    for start in reached:
        seen, edge = {start}, {start}
        while edge:
            edge = {to for now in edge for to in allowed(kind, now)} - seen
            seen |= edge
        assert seen & TERMINAL


def test_a_tuning_job_runs_only_with_its_intent() -> None:
    assert State.RUNNING not in allowed(JobKind.TUNE, State.PREPARING)
    for kind in (JobKind.EVALUATE, JobKind.SYNTHESIZE):
        assert State.RUNNING in allowed(kind, State.PREPARING)
        assert all(State.SUBMITTING not in allowed(kind, now) for now in State)


def test_steps_are_refused_by_name() -> None:
    for kind, now, to in _EVERY:
        if to in allowed(kind, now):
            require(kind, now, to)
        else:
            with pytest.raises(IllegalTransitionError, match=f"a {kind} job cannot go from {now} to {to}"):
                require(kind, now, to)
