"""What a person wishes is heard in every state, and never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from broker.errors import OutcomeUnknownError, RefusedError, UnavailableError
from broker.jobs.records import Wish
from broker.jobs.states import JobKind, State
from tests.unit.scheduler.conftest import ask, becomes, tune, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.api import Broker
    from broker.jobs.records import Handle, Intent, Job
    from broker.providers.fake import FakeRemote
    from tests.fakes.scripted import Script
    from tests.unit.scheduler.conftest import Opener, StoreGate

pytestmark = pytest.mark.anyio
Rows = dict[str, "Path"]
ENDLESS = 10**9


async def unreachable(*_args: object) -> None:
    raise UnavailableError("the network is down")


async def judges(broker: Broker) -> list[Job]:
    return [job for job in await broker.jobs() if job.kind is JobKind.EVALUATE]


async def test_an_evaluation_that_waits_is_cancelled_with_its_job(open_broker: Opener, rows: Rows) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await ask(broker, rows)
        await becomes(broker, job, State.RUNNING)
        await broker.cancel(job)
        ended = await broker.wait(experiment=job.experiment)
    assert sorted(found.state for found in ended) == [State.CANCELLED, State.CANCELLED, State.SUCCEEDED]


async def test_an_evaluation_that_waits_is_paused_and_resumed(open_broker: Opener, rows: Rows) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await ask(broker, rows)
        (waiting,) = [found for found in await judges(broker) if found.depends_on]
        await broker.pause(waiting)
        await becomes(broker, waiting, State.PAUSED)
        await broker.resume(waiting)
    async with open_broker(steps=1) as broker:
        ended = await broker.wait(experiment=job.experiment)
    assert {found.state for found in ended} == {State.SUCCEEDED}


async def test_a_job_that_is_tried_again_and_again_can_be_paused_and_resumed(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    script.before["submit"] = unreachable
    async with open_broker() as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUBMITTING)
        await broker.pause(job)
        await becomes(broker, job, State.PAUSED)
        tried = script.calls["submit"]
        await anyio.sleep(0.5)
        assert script.calls["submit"] == tried
        del script.before["submit"]
        await broker.resume(job)
        assert (await becomes(broker, job, State.SUCCEEDED)).attempt == 1


async def test_a_wish_does_not_shorten_the_wait_that_a_provider_asked_for(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    async def busy(_intent: Intent) -> None:
        raise UnavailableError("come back in a minute")

    script.before["prepare"] = busy
    async with open_broker() as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUBMITTING)
        await anyio.sleep(2.5)
        assert script.calls["prepare"] <= 4
        await broker.cancel(job)
        await becomes(broker, job, State.CANCELLED)


async def test_a_cancel_before_the_send_sends_nothing(
    open_broker: Opener, rows: Rows, script: Script, ledger: Callable[[], FakeRemote]
) -> None:
    async with open_broker() as broker:

        async def slow_upload(intent: Intent) -> None:
            await broker.cancel(intent.job_id)
            await anyio.sleep(0.05)

        script.before["prepare"] = slow_upload
        job = await tune(broker, rows)
        await becomes(broker, job, State.CANCELLED)
    assert ledger().jobs == {}


async def test_a_long_upload_is_broken_off_by_a_cancel(open_broker: Opener, rows: Rows, script: Script) -> None:
    async def endless(_intent: Intent) -> None:
        await anyio.sleep_forever()

    script.before["prepare"] = endless
    async with open_broker() as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUBMITTING)
        await broker.cancel(job)
        await becomes(broker, job, State.CANCELLED)


async def test_a_pause_that_did_not_arrive_is_asked_for_again(open_broker: Opener, rows: Rows, script: Script) -> None:
    async def once(_handle: Handle) -> None:
        if script.calls["pause"] == 1:
            raise UnavailableError("the network is down")

    script.before["pause"] = once
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        await broker.pause(job)
        await becomes(broker, job, State.PAUSED)
    assert script.calls["pause"] >= 2


async def test_a_pause_cut_off_by_a_stop_is_asked_for_after_the_start(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    async def hang(_handle: Handle) -> None:
        await anyio.sleep_forever()

    script.before["pause"] = hang
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        await broker.pause(job)
        await becomes(broker, job, State.PAUSING)
    del script.before["pause"]
    async with open_broker(steps=ENDLESS) as broker:
        await becomes(broker, job, State.PAUSED)


async def test_a_resume_while_it_is_pausing_is_not_lost(open_broker: Opener, rows: Rows, script: Script) -> None:
    async def down(_handle: Handle) -> None:
        raise UnavailableError("the network is down")

    script.before["pause"] = down
    async with open_broker(steps=60, poll_s=0.01) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        await broker.pause(job)
        await becomes(broker, job, State.PAUSING)
        await broker.resume(job)
        del script.before["pause"]
        await becomes(broker, job, State.SUCCEEDED)
    assert script.calls["resume"] == 1


async def test_a_cancel_that_comes_while_the_pause_is_written_is_not_lost(
    open_broker: Opener, rows: Rows, gates: list[StoreGate]
) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)

        def cancelled_meanwhile(_lease: object, to: State, **_more: object) -> None:
            if to in (State.PAUSING, State.PAUSED):
                gates[0].real.wish(job.id, Wish.CANCEL)

        gates[0].before["transition"] = cancelled_meanwhile
        await broker.pause(job)
        await becomes(broker, job, State.CANCELLED)


async def test_a_refused_pause_leaves_it_running_and_a_refused_cancel_cancelling(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    async def refuse(_handle: Handle) -> None:
        raise RefusedError("not now")

    script.before |= {"pause": refuse, "cancel": refuse}
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        await broker.pause(job)

        async def refused() -> bool:
            return script.calls["pause"] == 1 and (await broker.job(job.id)).state is State.RUNNING

        await until(refused)
        await broker.cancel(job)
        await becomes(broker, job, State.CANCELLING)
        await anyio.sleep(1.0)
        assert script.calls["cancel"] < 10, "asked again, less and less often"
        assert (await broker.job(job.id)).state is State.CANCELLING
        del script.before["cancel"]
        await becomes(broker, job, State.CANCELLED)


@pytest.mark.parametrize("exists", [True, False])
async def test_a_lost_job_that_nobody_wants_is_ended_wherever_it_is(
    open_broker: Opener, rows: Rows, script: Script, ledger: Callable[[], FakeRemote], exists: bool
) -> None:
    async def hidden(_intent: Intent) -> None:
        raise OutcomeUnknownError("the connection broke")

    script.capabilities["findable"] = False
    if not exists:
        script.before["submit"] = hidden
    async with open_broker(steps=ENDLESS, faults=["lost"]) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.LOST)
        script.capabilities["findable"] = True
    async with open_broker(steps=ENDLESS) as broker:
        await broker.cancel(job)
        await becomes(broker, job, State.CANCELLED)
    assert [found.wanted for found in ledger().jobs.values()] == (["cancel"] if exists else [])


async def test_a_pause_of_a_lost_job_means_nothing_and_costs_nothing(
    open_broker: Opener, rows: Rows, script: Script, gates: list[StoreGate]
) -> None:
    script.capabilities["findable"] = False
    async with open_broker(faults=["lost"]) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.LOST)
        await broker.pause(job)

        async def forgotten() -> bool:
            return (await broker.job(job.id)).wish is None

        await until(forgotten)
        assert (await broker.job(job.id)).state is State.LOST
    assert len(gates) == 1


async def test_a_cancel_ends_the_search_for_a_job_at_a_silent_provider(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    script.before["find"] = unreachable
    async with open_broker(faults=["lost"], grace_s=0.1) as broker:
        job = await tune(broker, rows)

        async def sought() -> bool:
            return (await broker.job(job.id)).look is not None

        await until(sought)  # sent, and the search has begun: before that a cancel ends it as cancelled
        await broker.cancel(job)
        lost = await becomes(broker, job, State.LOST)
        assert lost.failure is not None
        assert "broker adopt" in lost.failure.fix


async def test_without_room_a_cancel_is_heard_all_the_same(open_broker: Opener, rows: Rows, script: Script) -> None:
    script.capabilities |= {"remote": False, "concurrency": 1}
    async with open_broker(steps=ENDLESS) as broker:
        first = await tune(broker, rows, seed=1)
        await becomes(broker, first, State.RUNNING)
        second = await tune(broker, rows, seed=2)
        await anyio.sleep(0.1)
        assert (await broker.job(second.id)).state is State.QUEUED
        await broker.cancel(second)
        await becomes(broker, second, State.CANCELLED)
