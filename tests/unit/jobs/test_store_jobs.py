"""Jobs and experiments: stored whole, found again, listed in pages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import BudgetError, UnknownNameError, UserError
from broker.jobs.ids import new_intent_key, new_job_id
from broker.jobs.records import Experiment, Handle, NewJob
from broker.jobs.spec import Decoding, PromptPolicy, SynthesizeSpec
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.jobs.store import Store

    Life = Any


def test_ids_are_readable_and_differ() -> None:
    ids = {new_job_id(kind) for kind in JobKind for _ in range(500)}
    assert len(ids) == 1500
    assert all(re.fullmatch(r"(tune|eval|synth)-[23456789a-hjkmnp-tv-z]{10}", one) for one in ids)
    assert re.fullmatch(r"bi-[a-z2-7]{26}", new_intent_key())


def test_a_job_comes_back_as_it_was_asked_for(life: Life, open_one: Callable[[], Store]) -> None:
    tune = life.tune(label="día'", priority=3, reserved_usd=0.0)
    tune = replace(tune, label="día 日本 \"'")
    synth = NewJob(
        id=new_job_id(JobKind.SYNTHESIZE),
        spec=SynthesizeSpec(
            provider="gemini", model="g", pipeline="qa", source="cd" * 32, source_name="s", rows=5, output="out"
        ),
    )
    evaluate = life.evaluate(tune)
    spec = replace(
        evaluate.spec, policy=PromptPolicy(name="concise", system="Short."), decoding=Decoding(temperature=0.7)
    )
    evaluate = replace(evaluate, spec=spec)
    added = life.add(evaluate, tune, synth)
    assert [job.id for job in added] == [evaluate.id, tune.id, synth.id]
    other = open_one()
    for new, job in zip((evaluate, tune, synth), added, strict=True):
        assert other.job(new.id) == job
        assert (job.spec, job.label, job.priority, job.depends_on) == (
            new.spec,
            new.label,
            new.priority,
            new.depends_on,
        )
        assert (job.state, job.attempt, job.wish, job.handle, job.result) == (State.QUEUED, 1, None, None, {})
        assert abs(job.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert job.created_at.tzinfo is UTC


def test_a_job_that_was_made_elsewhere_begins_as_running(life: Life, store: Store) -> None:
    handle = Handle(provider="openai", id="ftjob-1")
    waits, made = life.add(life.tune(), life.tune(handle=handle, reserved_usd=0.5))
    assert (waits.state, made.state, made.handle) == (State.QUEUED, State.RUNNING, handle)
    assert (waits.started_at, made.started_at) == (None, made.created_at)
    assert store.jobs(handles=["ftjob-1"]) == [made]
    assert [event.data for event in store.events(made.id)] == [{"from": None, "to": "running"}]
    lease = life.claim()[made.id]
    assert store.transition(lease, State.CANCELLED).cost_usd is None  # a provider was asked, so nobody knows


def test_jobs_are_added_all_or_none(life: Life, store: Store) -> None:
    first = life.added()
    with pytest.raises(OSError, match="intact"):
        life.add(life.tune(), replace(life.tune(), id=first.id))
    with pytest.raises(UnknownNameError, match="depends on"):
        life.add(life.tune(), life.tune(depends_on=("tune-unknown",)))
    with pytest.raises(UnknownNameError, match=r"no experiment 'tnoe'.*\n.*did you mean 'tone'"):
        life.add(life.tune(), experiment="tnoe")
    one, two = life.tune(), life.tune()
    with pytest.raises(UserError, match="wait for each other"):
        life.add(replace(one, depends_on=(two.id,)), replace(two, depends_on=(one.id,)))
    assert [job.id for job in store.jobs()] == [first.id]
    assert [event.job_id for event in store.events()] == [first.id]
    assert life.add() == []


def test_a_job_is_found_by_a_unique_beginning(life: Life, store: Store) -> None:
    job = life.added()
    other = life.add(replace(life.tune(), id=job.id[:-1] + ("2" if job.id[-1] != "2" else "3")))[0]
    assert store.job(job.id) == job
    with pytest.raises(UnknownNameError, match="begins the ids of several jobs") as error:
        store.job("tune-")
    assert job.id in str(error.value)
    assert other.id in str(error.value)
    with pytest.raises(UnknownNameError, match="did you mean"):
        store.job(job.id[:-3] + "zz" + job.id[-1])
    for wrong in ("", "%", "_", "nothing", "tune-%", "'; DROP TABLE jobs"):
        with pytest.raises(UnknownNameError):
            store.job(wrong)
    alone = life.added()
    assert store.job(alone.id[:9]) == alone


def test_jobs_come_in_pages_and_by_filter(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="other", created_at=datetime.now(UTC)))
    tunes = life.add(*(life.tune(provider="p1" if i % 2 else "p2") for i in range(20)))
    others = life.add(*(life.tune() for _ in range(5)), experiment="other")
    ids = [job.id for job in (*tunes, *others)]

    def found(**query: Any) -> list[str]:
        return [job.id for job in store.jobs(**query)]

    assert found() == ids
    assert found(newest_first=True) == ids[::-1]
    assert [one for start in range(0, 30, 7) for one in found(limit=7, offset=start)] == ids
    assert found(offset=22) == ids[22:]
    assert found(limit=0) == []
    assert found(experiment="other") == ids[20:]
    assert found(providers=["p1"], limit=3) == ids[1:6:2]
    assert found(providers=(one for one in ["p1"]), experiment="tone", newest_first=True, limit=1) == [ids[19]]
    assert found(kinds=[JobKind.EVALUATE]) == []
    assert found(states=[]) == []
    lease = life.claim(jobs=[ids[3]])[ids[3]]
    life.running(lease)
    assert found(states=[State.RUNNING, State.LOST]) == [ids[3]]
    assert found(handles=[f"run-{one}" for one in ids]) == [ids[3]]
    assert found(handles=[f"run-{one}-{i}" for one in ids for i in range(900)] + [f"run-{ids[3]}"]) == [ids[3]]
    assert store.count_jobs() == {State.QUEUED: 24, State.RUNNING: 1}
    assert store.count_jobs(experiment="other") == {State.QUEUED: 5}
    assert store.count_jobs(experiment="none") == {}


def test_experiments(life: Life, store: Store, open_one: Callable[[], Store]) -> None:
    asked = Experiment(
        name="paper",
        created_at=datetime(2001, 1, 1, tzinfo=UTC),
        validation_sha256="ef" * 32,
        budget_usd=5.5,
        decoding=Decoding(max_tokens=7),
        notes={"encoder": "sandbox-encoder", "overlap": [1, 2]},
    )
    stored = store.add_experiment(asked)
    assert stored == replace(asked, created_at=stored.created_at)
    assert abs(stored.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert open_one().experiment("paper") == stored
    assert store.add_experiment(replace(asked, budget_usd=9.0)) == stored
    assert store.add_experiment(replace(asked, validation_sha256=None)) == stored
    with pytest.raises(UserError, match="another validation set"):
        store.add_experiment(replace(asked, validation_sha256="00" * 32))
    # One that was made without a validation set gets it later.
    assert store.add_experiment(replace(asked, name="tone")).validation_sha256 == "ef" * 32
    assert [one.name for one in store.experiments()] == ["paper", "tone"]
    with pytest.raises(UnknownNameError, match="did you mean 'paper'"):
        store.experiment("papr")


def test_money_is_reserved_with_the_jobs(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=1.0))
    first = life.add(*(life.tune(reserved_usd=0.1) for _ in range(9)), experiment="paid")
    with pytest.raises(BudgetError, match=r"1\.10 USD would be reserved or spent, the budget is 1\.00 USD"):
        life.add(life.tune(reserved_usd=0.1), life.tune(reserved_usd=0.1), experiment="paid")
    assert len(store.jobs(experiment="paid")) == 9
    life.add(life.tune(reserved_usd=0.1), experiment="paid")  # exactly the budget, summed from tenths
    assert store.spent("paid") == pytest.approx(1.0)
    life.add(life.tune(), experiment="paid")  # what is free is never refused
    lease = life.claim(jobs=[first[0].id])[first[0].id]
    life.end(lease, State.SUCCEEDED, cost_usd=0.02)
    assert store.spent("paid") == pytest.approx(0.92)
    lease = life.claim(jobs=[first[1].id])[first[1].id]
    assert store.transition(lease, State.CANCELLED).cost_usd == 0.0  # nothing was asked of a provider
    assert store.spent("paid") == pytest.approx(0.82)
    assert store.spent("tone") == 0.0


def test_a_new_attempt_keeps_what_the_earlier_ones_cost(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=1.0))
    (job,) = life.add(life.tune(reserved_usd=0.4), experiment="paid")
    for spent in (0.8, 1.0):
        life.end(life.claim()[job.id], State.FAILED, cost_usd=0.4 if spent == 0.8 else 0.2)
        store.restart(job.id)
        assert store.spent("paid") == pytest.approx(spent)
    life.end(life.claim()[job.id], State.FAILED)  # nobody knows what it cost: the reservation counts
    with pytest.raises(BudgetError):
        store.restart(job.id)
    assert (store.job(job.id).state, store.job(job.id).attempt) == (State.FAILED, 3)
    assert store.spent("paid") == pytest.approx(1.0)


def test_a_synthesis_has_one_cost_for_all_its_attempts(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=1.0))
    spec = SynthesizeSpec(
        provider="fake", model="g", pipeline="qa", source="cd" * 32, source_name="s", rows=5, output="out"
    )
    (job,) = life.add(NewJob(id=new_job_id(JobKind.SYNTHESIZE), spec=spec, reserved_usd=0.6), experiment="paid")
    for cost_usd in (0.5, 0.55):
        assert store.spent("paid") == pytest.approx(0.6)
        lease = life.claim()[job.id]
        store.transition(lease, State.PREPARING)
        store.transition(lease, State.RUNNING)
        store.transition(lease, State.FAILED, cost_usd=cost_usd)
        store.release([lease])
        assert store.spent("paid") == pytest.approx(cost_usd)
        store.restart(job.id)


def test_money_is_reserved_beside_the_jobs(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=1.0))
    life.add(life.tune(reserved_usd=0.4), experiment="paid")
    store.reserve_expense("paid", "judge a--b", 0.5)
    assert store.spent("paid") == pytest.approx(0.9)
    with pytest.raises(BudgetError, match=r"1\.10 USD would be reserved or spent, the budget is 1\.00 USD"):
        store.reserve_expense("paid", "judge a--c", 0.2)
    with pytest.raises(BudgetError):
        life.add(life.tune(reserved_usd=0.2), experiment="paid")
    store.reserve_expense("paid", "judge a--b", 0.6)  # taken up again: in place of the first reservation
    store.settle_expense("paid", "judge a--b", 0.1)
    assert store.spent("paid") == pytest.approx(0.5)
    store.settle_expense("paid", "judge a--c", 5.0)  # what is gone is gone
    assert [(one.name, one.reserved_usd, one.cost_usd) for one in store.expenses("paid")] == [
        ("judge a--b", 0.0, 0.1),
        ("judge a--c", 0.0, 5.0),
    ]
    with pytest.raises(BudgetError):
        store.reserve_expense("paid", "judge b--c", 0.01)
    assert store.expenses("tone") == []
    with pytest.raises(UnknownNameError):
        store.reserve_expense("nowhere", "judge a--b", 0.0)


def test_an_intent_is_refused_when_others_have_cost_more_than_reserved(life: Life, store: Store) -> None:
    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=1.0))
    dear, next_one = life.add(life.tune(reserved_usd=0.5), life.tune(reserved_usd=0.5), experiment="paid")
    leases = life.claim()
    life.end(leases[dear.id], State.SUCCEEDED, cost_usd=0.9)
    store.transition(leases[next_one.id], State.PREPARING)
    with pytest.raises(BudgetError):
        store.record_intent(leases[next_one.id], life.intent(leases[next_one.id]))
    assert store.job(next_one.id).state == State.PREPARING
    assert store.intents(next_one.id) == []
