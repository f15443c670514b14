"""The life of a job, with everything real but the remote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import anyio
import pytest

import broker.jobs.store as stores
from broker.errors import BudgetError, DataError, SpecError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_job_id
from broker.jobs.records import EventKind, NewJob
from broker.jobs.states import JobKind, State
from broker.jobs.store import open_store
from broker.jobs.store.clock import Clock
from broker.providers.fake import FakeRemote
from tests.unit.scheduler.conftest import ask, becomes, tune

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.spec import TuneSpec
    from tests.unit.scheduler.conftest import Opener

pytestmark = pytest.mark.anyio
Ledger = Callable[[], FakeRemote]


async def test_a_job_and_its_base_reach_the_table(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker() as broker:
        job = await ask(broker, rows, metrics=["conversational", "length"])
        await broker.wait(experiment=job.experiment)
        done = await broker.jobs()
    assert [found.state for found in done] == [State.SUCCEEDED] * 3
    base, tuned = (found.result["conversational"] for found in done if found.kind is JobKind.EVALUATE)
    assert (base, tuned) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("faults", "state", "made"),
    [
        (["ok"], State.SUCCEEDED, 1),
        (["lost"], State.SUCCEEDED, 1),
        (["unsent", "unsent", "ok"], State.SUCCEEDED, 1),
        (["vanished", "ok"], State.SUCCEEDED, 1),
        (["vanished", "lost"], State.SUCCEEDED, 1),
        (["vanished", "vanished"], State.LOST, 0),
        (["refused"], State.FAILED, 0),
    ],
)
async def test_faults_of_the_creating_call(
    open_broker: Opener, rows: dict[str, Path], ledger: Ledger, faults: list[str], state: State, made: int
) -> None:
    async with open_broker(faults=faults, list_lag=2) as broker:
        job = await ask(broker, rows)
        (ended,) = await broker.wait(job)
    assert ended.state is state
    assert sum(ledger().jobs_per_intent().values()) == made
    assert max(ledger().jobs_per_intent().values(), default=0) <= 1


async def test_a_lost_job_says_what_to_look_for(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(faults=["vanished", "vanished"]) as broker:
        job = await ask(broker, rows)
        (ended,) = await broker.wait(job)
        assert ended.failure is not None
        assert ended.intent_key is not None
        assert ended.intent_key in ended.failure.fix
        assert f"broker resume {job.id}" in ended.failure.fix


async def test_a_lost_job_is_adopted_or_sent_again(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker(faults=["vanished", "vanished"]) as broker:
        job = await ask(broker, rows)
        await broker.wait(job)
        await broker.resume(job)
        (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED
    assert ended.attempt == 2
    assert list(ledger().jobs_per_intent().values()) == [1]


async def test_a_provider_without_look_up_leaves_the_job_lost(
    open_broker: Opener, rows: dict[str, Path], ledger: Ledger
) -> None:
    async with open_broker(faults=["lost"], findable=False) as broker:
        job = await ask(broker, rows)
        (ended,) = await broker.wait(job)
    assert ended.state is State.LOST
    assert len(ledger().jobs) == 1


async def test_stopped_and_started_again(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker(steps=10**9, poll_s=0.01) as broker:
        job = await ask(broker, rows)
        async for event in broker.watch(job):
            if event.kind is EventKind.PROGRESS:
                break
    async with open_broker(steps=3) as broker:
        await broker.wait(experiment=job.experiment)
        assert {found.state for found in await broker.jobs()} == {State.SUCCEEDED}
    assert list(ledger().jobs_per_intent().values()) == [1]


async def test_cancelled_is_not_failed(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker(steps=10**9) as broker:
        job = await ask(broker, rows)
        async for event in broker.watch(job):
            if event.data.get("to") == State.RUNNING:
                await broker.cancel(job)
        states = {found.kind: found.state for found in await broker.jobs() if found.id == job.id}
        assert states == {JobKind.TUNE: State.CANCELLED}
    assert next(iter(ledger().jobs.values())).wanted == "cancel"


async def test_paused_and_resumed(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(steps=200, poll_s=0.005) as broker:
        job = await ask(broker, rows)
        async for event in broker.watch(job):
            if event.data.get("to") == State.RUNNING:
                await broker.pause(job)
        assert (await broker.job(job.id)).state is State.PAUSED
        await broker.resume(job)
        with anyio.fail_after(30):
            (ended,) = await broker.wait(job)
        assert ended.state is State.SUCCEEDED


async def test_a_failed_job_leaves_its_evaluation_without_a_model(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(fail="bad_data") as broker:
        job = await ask(broker, rows)
        await broker.wait(experiment=job.experiment)
        found = {(item.kind, item.state): item for item in await broker.jobs()}
    assert (JobKind.EVALUATE, State.SUCCEEDED) in found, "the base is judged all the same"
    failed = found[JobKind.EVALUATE, State.FAILED].failure
    assert failed is not None
    assert failed.code == "no_model"


async def test_the_same_job_is_not_made_twice(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker() as broker:
        first = await ask(broker, rows)
        second = await ask(broker, rows)
        third = await ask(broker, rows, again=True)
        await broker.wait(experiment=first.experiment)
    assert first.id == second.id != third.id
    assert len(ledger().jobs) == 2
    assert list(ledger().files.values()) == [1], "the same content is uploaded once"


async def test_the_budget_is_reserved_before_anything_is_sent(
    open_broker: Opener, rows: dict[str, Path], ledger: Ledger
) -> None:
    async with open_broker(price_usd=3.0) as broker:
        await ask(broker, rows, budget_usd=5.0)
        with pytest.raises(BudgetError):
            await ask(broker, rows, budget_usd=5.0, seed=2)
        await broker.wait(experiment=(await broker.experiment()).name)
    assert len(ledger().jobs) == 1


async def test_every_problem_at_once(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(drive=False) as broker:
        with pytest.raises(SpecError) as caught:
            await ask(broker, rows, epoch=3, epochs=99)
    places = [problem.where for problem in caught.value.problems]
    assert places == ["--epoch", "--epochs"]
    assert "--epochs" in caught.value.problems[0].fix


async def test_validation_rows_in_the_training_data_are_refused(open_broker: Opener, rows: dict[str, Path]) -> None:
    rows["train"].write_text(rows["train"].read_text() + rows["validation"].read_text())
    async with open_broker(drive=False) as broker:
        with pytest.raises(DataError, match="4 validation prompt"):
            await ask(broker, rows)
        assert await broker.jobs() == []


async def test_missing_flags_are_named_together(open_broker: Opener) -> None:
    async with open_broker(drive=False) as broker:
        with pytest.raises(UserError, match="--provider, --train"):
            await broker.submit()


async def test_two_brokers_drive_each_job_once(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker() as one, open_broker() as two:
        jobs = [await ask(broker, rows, seed=seed) for seed in range(10) for broker in (one, two)]
        await one.wait(experiment=jobs[0].experiment)
    assert len(ledger().jobs) == 10
    assert set(ledger().jobs_per_intent().values()) == {1}


async def test_who_stops_gives_every_lease_back(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(steps=10**9) as broker:
        running = await tune(broker, rows)
        await becomes(broker, running, State.RUNNING)
        await tune(broker, rows, seed=2)
    async with open_broker(drive=False) as broker:
        assert await blocking(broker._store.owners) == []  # pyright: ignore[reportPrivateUsage]


async def test_what_matters_more_goes_first(open_broker: Opener, rows: dict[str, Path], ledger: Ledger) -> None:
    async with open_broker(drive=False) as broker:
        first = await tune(broker, rows)
        priorities = [0, 5, 1, 9]
        spec = cast("TuneSpec", first.spec)
        new = [
            NewJob(id=new_job_id(JobKind.TUNE), spec=replace(spec, seed=priority), priority=priority)
            for priority in priorities
        ]
        store = broker._store  # pyright: ignore[reportPrivateUsage]
        await blocking(store.add_jobs, first.experiment, new)
    async with open_broker(concurrency=1, steps=1) as broker:
        await broker.wait([job.id for job in new])
        seeds = {(await blocking(store.intents, job.id))[0].key: job.priority for job in new}
    assert [seeds[job.key] for job in ledger().jobs.values() if job.key in seeds] == [9, 5, 1, 0]


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_clock_that_is_set_changes_nothing(
    open_broker: Opener, rows: dict[str, Path], ledger: Ledger, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    shift = timedelta(0)
    clock = Clock(now=lambda: datetime.now(UTC) + shift)
    monkeypatch.setattr(stores, "open_store", lambda *args, **more: open_store(*args, clock=clock, **more))
    async with open_broker(steps=20) as one, open_broker(steps=20) as two:
        jobs = [await tune(broker, rows, seed=seed) for seed in range(5) for broker in (one, two)]
        await becomes(one, jobs[0], State.RUNNING)
        shift = timedelta(days=days)
        ended = await one.wait(jobs)
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert set(ledger().jobs_per_intent().values()) == {1}
