"""The life of a job: each change with its event in one transaction, and only those that the table has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import IllegalTransitionError, StoreError, UnknownNameError, UserError
from broker.jobs.records import EventKind, Failure, Handle, Wish
from broker.jobs.spec import ModelRef
from broker.jobs.states import TERMINAL, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.jobs.store import Store

    Life = Any


def test_each_transition_has_its_event(life: Life, store: Store, open_one: Callable[[], Store]) -> None:
    lease = life.claimed()
    intent = life.submitted(lease)
    handle = Handle(provider="fake", id="ft-1")
    running = store.record_handle(lease, handle, data={"note": "adopted"})
    assert (running.state, running.handle, running.intent_key) == (State.RUNNING, handle, intent.key)
    assert running.started_at is not None
    model = ModelRef(provider="fake", name="ft:m", adapter="/a", precision="int8")
    done = store.transition(
        lease, State.SUCCEEDED, data={"steps": 3}, model=model, result={"loss": 0.5, "steps": 3}, cost_usd=0.25
    )
    assert open_one().job(lease.job_id) == done
    assert (done.model, done.result, done.cost_usd) == (model, {"loss": 0.5, "steps": 3}, 0.25)
    assert done.finished_at == done.updated_at >= running.updated_at
    assert [(event.kind, event.data) for event in store.events(lease.job_id)] == [
        (EventKind.STATE, {"from": None, "to": "queued"}),
        (EventKind.STATE, {"from": "queued", "to": "preparing"}),
        (EventKind.STATE, {"from": "preparing", "to": "submitting", "intent": intent.key, "attempt": 1}),
        (
            EventKind.STATE,
            {"from": "submitting", "to": "running", "handle": "ft-1", "provider": "fake", "note": "adopted"},
        ),
        (EventKind.STATE, {"from": "running", "to": "succeeded", "steps": 3}),
    ]


def test_a_step_that_the_table_does_not_have_changes_nothing(life: Life, store: Store) -> None:
    lease = life.claimed()
    before, seq = store.job(lease.job_id), store.last_seq()
    for to in (State.RUNNING, State.SUCCEEDED, State.LOST, State.QUEUED):
        with pytest.raises(IllegalTransitionError, match=f"{lease.job_id}: a tune job cannot go from queued to {to}"):
            store.transition(lease, to, cost_usd=9.0)
    with pytest.raises(IllegalTransitionError):
        store.record_handle(lease, Handle(provider="fake", id="x"))
    with pytest.raises(IllegalTransitionError):
        store.record_intent(lease, life.intent(lease))
    assert (store.job(lease.job_id), store.last_seq(), store.intents(lease.job_id)) == (before, seq, [])


def test_nothing_is_sent_without_an_intent(life: Life, store: Store) -> None:
    lease = life.claimed()
    store.transition(lease, State.PREPARING)
    with pytest.raises(IllegalTransitionError, match="without an intent"):
        store.transition(lease, State.SUBMITTING)
    store.record_intent(lease, life.intent(lease))
    store.transition(lease, State.PAUSED)
    assert store.transition(lease, State.SUBMITTING).state is State.SUBMITTING


def test_an_ended_job_is_queued_by_a_restart_only(life: Life, store: Store) -> None:
    lease = life.claimed()
    store.transition(lease, State.CANCELLED)
    with pytest.raises(IllegalTransitionError, match="only as a new attempt"):
        store.transition(lease, State.QUEUED)


def test_fields_change_without_the_state(life: Life, store: Store) -> None:
    lease = life.claimed()
    before = store.job(lease.job_id)
    look = Failure(code="timeout", message="no answer", fix="wait", at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    changed = store.update(lease, look=look, remote_status="validating_files", cost_usd=0.5, priority=7, label="x")
    assert changed == replace(before, look=look, remote_status="validating_files", cost_usd=0.5, priority=7, label="x")
    assert store.job(lease.job_id) == changed
    assert store.update(lease, look=None, cost_usd=None) == replace(changed, look=None, cost_usd=None)
    assert store.update(lease) == store.job(lease.job_id)
    assert len(store.events(lease.job_id)) == 1
    for name in ("state", "id", "spec", "attempt", "intent_key", "colour"):
        with pytest.raises(TypeError, match=name):
            store.update(lease, **{name: None})


def test_an_intent_is_written_once_for_an_attempt(life: Life, store: Store) -> None:
    lease = life.claimed()
    store.transition(lease, State.PREPARING)
    intent = life.intent(lease)
    for wrong in (replace(intent, job_id="tune-other"), replace(intent, attempt=2)):
        with pytest.raises(StoreError, match="the intent is of"):
            store.record_intent(lease, wrong)
    assert store.record_intent(lease, intent).state is State.SUBMITTING
    with pytest.raises(IllegalTransitionError, match="attempt 1 has its intent already"):
        store.record_intent(lease, life.intent(lease))
    stored = store.intent(intent.key)
    assert stored == replace(intent, created_at=stored.created_at)
    assert abs(stored.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert store.intents(lease.job_id) == [stored]
    with pytest.raises(UnknownNameError):
        store.intent("bi-none")


def test_sends_are_counted_before_they_go_out(life: Life, store: Store) -> None:
    lease, other = life.claimed(), life.claimed()
    intent = life.submitted(lease)
    assert store.intent(intent.key).sent_at is None
    assert store.record_send(lease, intent.key) == 1
    sent_at = store.intent(intent.key).sent_at
    assert sent_at is not None
    assert abs(sent_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert store.record_send(lease, intent.key) == 2
    assert store.record_unsent(lease, intent.key) == 1
    assert store.intent(intent.key).sent_at is not None
    assert store.record_unsent(lease, intent.key) == 0
    assert store.record_unsent(lease, intent.key) == 0
    assert (store.intent(intent.key).sends, store.intent(intent.key).sent_at) == (0, None)
    with pytest.raises(UnknownNameError, match="has no intent"):
        store.record_send(other, intent.key)


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.LOST])
def test_a_new_attempt_starts_clean(life: Life, store: Store, end: State) -> None:
    lease = life.claimed()
    life.end(lease, end, failure=Failure(code="x", message="y"), remote_status="r", result={"steps": 1})
    store.wish(lease.job_id, Wish.RESUME)
    job = store.restart(lease.job_id)
    fresh = replace(store.job(lease.job_id), updated_at=job.created_at)
    assert fresh == replace(job, updated_at=job.created_at)
    assert (job.state, job.attempt, job.intent_key, job.handle, job.wish) == (State.QUEUED, 2, None, None, None)
    assert (job.failure, job.remote_status, job.result, job.started_at, job.finished_at) == (None, None, {}, None, None)
    assert store.events(lease.job_id)[-1].data == {"from": end, "to": "queued", "attempt": 2}
    again = life.claim()[lease.job_id]
    second = life.submitted(again)
    assert [intent.attempt for intent in store.intents(lease.job_id)] == [1, 2]
    assert store.job(lease.job_id).intent_key == second.key


def test_only_a_job_that_ended_badly_starts_anew(life: Life, store: Store) -> None:
    lease = life.claimed()
    with pytest.raises(IllegalTransitionError, match="this one is queued"):
        store.restart(lease.job_id)
    life.end(lease, State.SUCCEEDED)
    with pytest.raises(IllegalTransitionError, match="this one is succeeded"):
        store.restart(lease.job_id)
    with pytest.raises(UnknownNameError):
        store.restart("tune-none")


def test_wishes_are_noted_and_forgotten_when_fulfilled(life: Life, store: Store) -> None:
    lease = life.claimed()
    life.running(lease)
    assert store.wish(lease.job_id, Wish.PAUSE).wish is Wish.PAUSE
    seq = store.last_seq()
    assert store.wish(lease.job_id[:-1], Wish.PAUSE).wish is Wish.PAUSE
    assert store.last_seq() == seq
    assert store.events(lease.job_id)[-1].data == {"wish": "pause"}
    assert store.transition(lease, State.PAUSING).wish is Wish.PAUSE
    assert store.transition(lease, State.PAUSED).wish is None
    store.wish(lease.job_id, Wish.RESUME)
    assert store.transition(lease, State.RUNNING).wish is None
    store.wish(lease.job_id, Wish.CANCEL)
    assert store.transition(lease, State.CANCELLING).wish is Wish.CANCEL
    assert store.transition(lease, State.CANCELLED).wish is None
    seq = store.last_seq()
    assert store.wish(lease.job_id, Wish.CANCEL).wish is None  # it has ended
    assert store.last_seq() == seq


def test_a_later_wish_survives_the_fulfilment_of_an_earlier_one(life: Life, store: Store) -> None:
    lease = life.claimed()
    life.running(lease)
    store.wish(lease.job_id, Wish.PAUSE)
    store.wish(lease.job_id, Wish.CANCEL)
    assert store.transition(lease, State.PAUSED).wish is Wish.CANCEL


def test_a_lost_job_is_settled_by_a_person(life: Life, store: Store) -> None:
    leases = [life.claimed() for _ in range(4)]
    for lease in leases:
        life.submitted(lease)
        store.transition(lease, State.LOST)
    found = Handle(provider="fake", id="ft-9")
    running = store.settle(leases[0].job_id, State.RUNNING, handle=found, note="seen in the dashboard")
    assert (running.state, running.handle) == (State.RUNNING, found)
    assert store.events(running.id)[-1].data == {
        **{"from": "lost", "to": "running", "settled": True, "handle": "ft-9", "note": "seen in the dashboard"}
    }
    assert store.settle(leases[1].job_id, State.FAILED).state is State.FAILED
    assert store.settle(leases[2].job_id, State.CANCELLED).state is State.CANCELLED
    with pytest.raises(UserError, match="id of the job is missing"):
        store.settle(leases[3].job_id, State.RUNNING)
    for job_id, to in ((leases[3].job_id, State.SUCCEEDED), (running.id, State.FAILED)):
        with pytest.raises(IllegalTransitionError, match="only a lost job is settled"):
            store.settle(job_id, to)
    assert set(life.claim("b")) == {running.id}


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_an_ended_job_is_nobodys(life: Life, store: Store, end: State) -> None:
    lease = life.claimed()
    life.end(lease, end)
    store.wish(lease.job_id, Wish.CANCEL)
    assert life.claim() == {}
