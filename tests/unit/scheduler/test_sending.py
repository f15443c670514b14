"""The creating call goes out under a lease that is certainly ours, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import pytest

from broker.jobs.records import Lease
from broker.jobs.states import State
from broker.scheduler import parts
from broker.scheduler.parts import Held, lease_now
from tests.unit.scheduler.conftest import becomes, tune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.jobs.records import Intent, Job
    from broker.providers.fake import FakeRemote
    from tests.fakes.scripted import Script
    from tests.unit.scheduler.conftest import Opener, StoreGate

pytestmark = pytest.mark.anyio
Rows = dict[str, "Path"]


class Jump:
    """A clock that a test moves: what a stopped process sees when it wakes."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.real = lease_now

    def __call__(self) -> float:
        return self.real() + self.ahead_s


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    clock = Jump()
    monkeypatch.setattr(parts, "lease_now", clock)
    return clock


@pytest.mark.parametrize("taken", [True, False])
async def test_who_slept_between_the_count_and_the_send_asks_first(
    open_broker: Opener, rows: Rows, script: Script, gates: list[StoreGate], jump: Jump, taken: bool
) -> None:
    def sleep(lease: Lease, _key: str) -> None:
        if not jump.ahead_s:
            jump.ahead_s = 3600.0
            if taken:  # by another broker, as after the lease has run out
                gates[0].real.disown(lease.owner)
                gates[0].real.claim("another", lease_s=1.0, limit=10)

    async with open_broker(settings={"lease_s": 60.0}) as broker:
        gates[0].after["record_send"] = sleep
        job = await tune(broker, rows)
        if taken:
            await anyio.sleep(0.5)
            assert script.calls["submit"] == 0
            assert (await broker.job(job.id)).state is State.SUBMITTING
            gates[0].real.disown("another")
            broker._engine.poke()  # pyright: ignore[reportPrivateUsage]
        await becomes(broker, job, State.SUCCEEDED)
        assert (script.calls["submit"], script.calls["find"] > 0) == (1, taken)


async def test_a_send_is_broken_off_when_the_lease_is_over(job: Job) -> None:
    held = Held(job=job, lease=Lease(job_id=job.id, owner="me", token=1, expires_at=datetime.now(UTC)))
    held.until = lease_now() + 0.05
    with held.tenured() as tenure:
        await anyio.sleep_forever()
    assert tenure.cancelled_caught
    held.until = lease_now() - 1
    with held.tenured() as tenure:
        await anyio.lowlevel.checkpoint()
        pytest.fail("nothing goes out under a lease that is over")
    assert tenure.cancelled_caught


async def test_a_renewal_gives_a_send_more_time(job: Job) -> None:
    held = Held(job=job, lease=Lease(job_id=job.id, owner="me", token=1, expires_at=datetime.now(UTC)))
    held.until = lease_now() + 0.1
    with held.tenured() as tenure:
        held.extend(lease_now() + 60)
        await anyio.sleep(0.3)
    assert not tenure.cancelled_caught


@pytest.fixture
async def job(open_broker: Opener, rows: Rows) -> Job:
    async with open_broker(drive=False) as broker:
        return await tune(broker, rows)


async def test_a_slow_answer_is_waited_for_while_the_lease_is_renewed(
    open_broker: Opener, rows: Rows, script: Script, ledger: Callable[[], FakeRemote]
) -> None:
    async def slow(_intent: Intent) -> None:
        await anyio.sleep(2.5)

    script.before["submit"] = slow
    async with open_broker(settings={"lease_s": 1.0}) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUCCEEDED)
    assert script.calls["submit"] == 1
    assert script.calls["find"] == 0
    assert len(ledger().jobs) == 1


async def test_a_listing_that_began_too_early_proves_nothing(
    open_broker: Opener, rows: Rows, script: Script, ledger: Callable[[], FakeRemote]
) -> None:
    async def slow(_intent: Intent) -> None:
        if script.calls["find"] == 1:
            await anyio.sleep(0.5)

    script.before["find"] = slow
    async with open_broker(faults=["lost"], list_lag=1, grace_s=0.3) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUCCEEDED)
    assert list(ledger().jobs_per_intent().values()) == [1]
