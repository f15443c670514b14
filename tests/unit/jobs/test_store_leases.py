"""Leases: one driver a job, whatever the clocks say, and a stale token changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

from broker.errors import LeaseLostError
from broker.jobs.records import Failure, Handle, Wish
from broker.jobs.states import JobKind, State
from broker.jobs.store import open_store
from broker.jobs.store.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from broker.jobs.records import Lease
    from broker.jobs.store import Store

    Life = Any


@pytest.fixture
def age(store_url: str) -> Iterator[Callable[[float], None]]:
    """A function that makes all leases older by so many seconds (or, negative, younger)."""
    engine = create_engine(store_url)

    def older(seconds: float) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE leases SET since = since - :s, until = until - :s"), {"s": seconds})

    yield older
    engine.dispose()


def test_a_job_is_claimed_once(life: Life, store: Store, open_one: Callable[[], Store]) -> None:
    jobs = life.add(*(life.tune() for _ in range(10)))
    first = store.claim("a", lease_s=60, limit=4)
    assert [job for job, _ in first] == jobs[:4]
    assert [(lease.job_id, lease.owner) for _, lease in first] == [(job.id, "a") for job in jobs[:4]]
    assert all(
        abs(lease.expires_at - datetime.now(UTC) - timedelta(minutes=1)) < timedelta(seconds=30) for _, lease in first
    )
    second = open_one().claim("b", lease_s=60, limit=100)
    assert [job.id for job, _ in second] == [job.id for job in jobs[4:]]
    assert store.claim("c", lease_s=60, limit=100) == []
    assert store.claim("c", lease_s=60, limit=0) == []
    tokens = [lease.token for _, lease in (*first, *second)]
    assert len(set(tokens)) == 10


def test_higher_priority_comes_first_then_the_oldest(life: Life, store: Store) -> None:
    low, high, middle, high_too = life.add(*(life.tune(priority=p) for p in (-1, 5, 0, 5)))
    order = [job.id for job, _ in store.claim("a", lease_s=60, limit=9)]
    assert order == [high.id, high_too.id, middle.id, low.id]


def test_claims_are_filtered(life: Life) -> None:
    one, two = life.tune(provider="p1"), life.tune(provider="p2")
    base = life.evaluate(one, depends_on=())
    life.add(one, two, base)
    assert life.claim(providers=[]) == {}
    assert set(life.claim(providers=["p2", "p3"])) == {two.id}
    assert set(life.claim(kinds=[JobKind.EVALUATE])) == {base.id}
    assert set(life.claim(jobs=["tune-none"])) == set()
    assert set(life.claim(jobs=(job for job in [one.id, two.id]))) == {one.id}


def test_a_job_waits_for_those_that_it_depends_on(life: Life, store: Store) -> None:
    one, two = life.tune(), life.tune()
    after_both = life.evaluate(one, depends_on=(one.id, two.id))
    life.add(after_both, one, two)
    leases = life.claim()
    assert set(leases) == {one.id, two.id}
    life.end(leases[one.id], State.SUCCEEDED)
    assert life.claim() == {}
    life.end(leases[two.id], State.SUCCEEDED)
    assert set(life.claim()) == {after_both.id}
    assert set(life.claim()) == set()


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.LOST])
def test_a_job_whose_dependency_went_wrong_is_claimed_to_be_ended(life: Life, store: Store, end: State) -> None:
    one, two = life.tune(), life.tune()
    after = life.evaluate(one, depends_on=(one.id, two.id))
    life.add(one, two, after)
    leases = life.claim()
    life.end(leases[one.id], end)
    after_lease = life.claim()[after.id]
    store.release([after_lease])
    store.restart(one.id)
    assert set(life.claim()) == {one.id}  # it waits again


def test_resting_jobs_are_claimed_for_a_wish_only(life: Life, store: Store) -> None:
    lease = life.claimed()
    life.running(lease)
    store.transition(lease, State.PAUSED)
    store.release([lease])
    assert life.claim() == {}
    store.wish(lease.job_id, Wish.RESUME)
    again = life.claim()[lease.job_id]
    store.transition(again, State.RUNNING)
    store.release([again])
    store.transition(life.claim()[lease.job_id], State.SUCCEEDED)
    assert life.claim() == {}


def test_a_waiting_job_is_claimed_when_somebody_wants_it_cancelled(life: Life, store: Store) -> None:
    one = life.tune()
    after = life.evaluate(one)
    life.add(one, after)
    life.claim(jobs=[one.id])
    assert life.claim() == {}
    store.wish(after.id, Wish.RESUME)
    assert life.claim() == {}
    store.wish(after.id, Wish.CANCEL)
    assert set(life.claim()) == {after.id}


def test_leases_are_renewed_and_given_back(life: Life, store: Store, age: Callable[[float], None]) -> None:
    life.add(*(life.tune() for _ in range(3)))
    leases = list(life.claim(lease_s=10).values())
    kept, lost = store.renew(leases[:2], lease_s=1000)
    assert [one.token for one in kept] == [one.token for one in leases[:2]]
    assert all(new.expires_at > old.expires_at for new, old in zip(kept, leases, strict=False))
    assert lost == []
    age(500)
    taken = life.claim("b")
    assert set(taken) == {leases[2].job_id}
    kept, lost = store.renew(leases, lease_s=1000)
    assert [one.token for one in kept] == [one.token for one in leases[:2]]
    assert lost == [leases[2]]
    store.release([leases[2]])  # not ours any more: nothing happens
    assert store.renew(list(taken.values()), lease_s=60)[1] == []
    store.release([*leases[:2], *leases[:2]])
    store.release([])
    assert set(life.claim("c")) == {leases[0].job_id, leases[1].job_id}
    assert store.renew([], lease_s=1) == ([], [])


def test_a_lease_that_ran_out_is_kept_until_somebody_looks(
    life: Life, store: Store, age: Callable[[float], None]
) -> None:
    lease = life.claimed()
    age(100_000)
    store.update(lease, remote_status="late")
    assert store.renew([lease], lease_s=60)[1] == []
    assert life.claim("b") == {}


def _writes(life: Life, store: Store, lease: Lease) -> list[Callable[[], object]]:
    intent = life.intent(lease)
    return [
        lambda: store.transition(lease, State.PREPARING),
        lambda: store.update(lease, remote_status="mine"),
        lambda: store.record_intent(lease, intent),
        lambda: store.record_send(lease, intent.key),
        lambda: store.record_unsent(lease, intent.key),
        lambda: store.record_handle(lease, Handle(provider="fake", id="mine")),
    ]


def test_a_stale_token_changes_nothing(life: Life, store: Store, age: Callable[[float], None]) -> None:
    stale = life.claimed()
    age(100)
    fresh = life.claim("b")[stale.job_id]
    assert fresh.token > stale.token
    before, seq = store.job(stale.job_id), store.last_seq()
    forged = [replace(fresh, token=fresh.token + 7), replace(fresh, job_id=life.added().id)]
    seq = store.last_seq()
    for lease in (stale, *forged):
        for write in _writes(life, store, lease):
            with pytest.raises(LeaseLostError, match="nothing was changed"):
                write()
    assert store.job(stale.job_id) == before
    assert store.intents(stale.job_id) == []
    assert store.last_seq() == seq
    store.transition(fresh, State.PREPARING)


def test_a_person_takes_a_job_out_of_its_drivers_hands(life: Life, store: Store) -> None:
    lease = life.claimed()
    life.running(lease)
    store.transition(lease, State.LOST)
    store.restart(lease.job_id)
    with pytest.raises(LeaseLostError):
        store.transition(lease, State.PREPARING)
    assert set(life.claim("b")) == {lease.job_id}


def test_wishes_reach_the_driver(life: Life, store: Store) -> None:
    mine, theirs = life.claimed(), life.claimed()
    free = life.added()
    store.release([theirs])
    life.claim("b", jobs=[theirs.job_id])
    for one in (mine.job_id, theirs.job_id, free.id):
        assert store.wish(one, Wish.CANCEL).wish is Wish.CANCEL
    assert [(job.id, job.wish) for job in store.wishes("a")] == [(mine.job_id, Wish.CANCEL)]
    assert store.wishes("c") == []


def test_running_jobs_are_claimed_in_few_words(life: Life, store: Store) -> None:
    leases = [life.claimed(priority=n) for n in range(3)]
    for lease in leases[:2]:
        life.running(lease)
    store.update(leases[0], remote_status="validating", look=Failure(code="timeout", message="no answer"))
    store.wish(leases[0].job_id, Wish.CANCEL)
    assert store.claim_working("b", lease_s=60, limit=9, provider="fake") == []
    store.release(leases)
    assert store.claim_working("b", lease_s=60, limit=9, provider="other") == []
    found = store.claim_working("b", lease_s=60, limit=9, provider="fake")
    assert [one.lease.job_id for one in found] == [leases[1].job_id, leases[0].job_id]
    assert [one.handle.id for one in found] == [f"run-{one.lease.job_id}" for one in found]
    quiet, troubled = found
    assert (quiet.state, quiet.remote_status, quiet.troubled, quiet.wish) == (State.RUNNING, None, False, None)
    assert (troubled.remote_status, troubled.troubled, troubled.wish) == ("validating", True, Wish.CANCEL)
    assert store.renew([one.lease for one in found], lease_s=60)[1] == []
    assert set(life.claim("c")) == {leases[2].job_id}


def test_claims_may_be_for_wishes_only(life: Life, store: Store) -> None:
    one, two, _ = (life.added() for _ in range(3))
    store.wish(one.id, Wish.PAUSE)
    store.wish(two.id, Wish.CANCEL)
    assert set(life.claim(wishes=[Wish.CANCEL])) == {two.id}
    assert set(life.claim(wishes=[Wish.CANCEL, Wish.PAUSE])) == {one.id}


def test_the_leases_of_the_dead_are_taken_back(life: Life, store: Store) -> None:
    life.add(*(life.tune() for _ in range(3)))
    mine = life.claim("a", limit=2)
    theirs = life.claim("b")
    assert sorted(store.owners()) == ["a", "b"]
    assert store.disown("a") == 2
    assert store.disown("a") == 0
    assert store.owners() == ["b"]
    assert store.renew(list(mine.values()), lease_s=60)[1] == list(mine.values())
    assert store.renew(list(theirs.values()), lease_s=60)[1] == []
    assert set(life.claim("c")) == set(mine)


def test_a_wish_is_forgotten_only_while_it_is_the_same(life: Life, store: Store) -> None:
    lease = life.claimed()
    store.wish(lease.job_id, Wish.PAUSE)
    assert store.forget_wish(lease, Wish.CANCEL).wish is Wish.PAUSE
    assert store.forget_wish(lease, Wish.PAUSE).wish is None
    assert store.job(lease.job_id).wish is None
    store.release([lease])
    with pytest.raises(LeaseLostError):
        store.forget_wish(lease, Wish.PAUSE)


def test_accounts_at_work(life: Life, store: Store) -> None:
    assert store.accounts_at_work() == []
    life.add(*(life.tune(provider=name) for name in ("openai", "Azure", "local", "openai")))
    assert sorted(store.accounts_at_work()) == ["Azure", "local", "openai"]
    for job in store.jobs(providers=["openai"]):
        store.transition(life.claim(jobs=[job.id])[job.id], State.CANCELLED)
    assert sorted(store.accounts_at_work()) == ["Azure", "local"]


def test_has_work(life: Life, store: Store) -> None:
    assert not store.has_work("fake")
    lease = life.claimed()
    assert store.has_work("fake")
    assert not store.has_work("openai")
    life.running(lease)
    store.transition(lease, State.PAUSED)
    assert not store.has_work("fake")
    store.wish(lease.job_id, Wish.RESUME)
    assert store.has_work("fake")


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_leases_that_the_clock_cannot_have_written_have_expired(
    life: Life, store: Store, age: Callable[[float], None]
) -> None:
    """The server's clock went back a day: a lease begins in the future and would last a day too long."""
    lease = life.claimed()
    age(-86_400)
    taken = life.claim("b")
    assert set(taken) == {lease.job_id}
    assert store.renew([lease], lease_s=60)[1] == [lease]
    assert life.claim("c") == {}


def _days_off(truth: Clock, days: int) -> datetime:
    return truth.now() + timedelta(days=days)


def test_a_wall_clock_a_day_off_moves_no_lease(tmp_path: Path, sqlite_life: Callable[[Store], Life]) -> None:
    url = f"sqlite:///{tmp_path}/broker.db"
    truth = Clock()
    stores = [open_store(url, clock=replace(truth, now=partial(_days_off, truth, days))) for days in (0, 1, -1)]
    life = sqlite_life(stores[0])
    life.add(*(life.tune() for _ in range(5)))
    leases = list(life.claim(lease_s=30).values())
    for store in stores[1:]:
        assert store.claim("b", lease_s=30, limit=9) == []
        kept, lost = store.renew(leases, lease_s=30)
        assert (len(kept), lost) == (5, [])
    assert stores[0].claim("c", lease_s=30, limit=9) == []
    for store in stores:
        store.close()


def test_a_restart_of_the_machine_ends_all_leases(tmp_path: Path, sqlite_life: Callable[[Store], Life]) -> None:
    url = f"sqlite:///{tmp_path}/broker.db"
    before = open_store(url, clock=Clock(elapsed=lambda: 1e6, boot=lambda: "one"))
    life = sqlite_life(before)
    job = life.added()
    life.claim(lease_s=1e9)
    after = open_store(url, clock=Clock(elapsed=lambda: 1e6 + 1, boot=lambda: "two"))
    assert [one.id for one, _ in after.claim("b", lease_s=30, limit=9)] == [job.id]
    assert before.claim("a", lease_s=30, limit=9) != []  # and the other way round: nobody of another boot is alive
    before.close()
    after.close()
