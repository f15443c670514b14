"""The event loop belongs to everybody: no step of the scheduler keeps it to itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from broker.api import ExperimentRequest, TuneRequest
from broker.jobs.artifacts import Artifacts
from broker.jobs.records import Handle, Lease, Working
from broker.jobs.states import State
from broker.providers.contract import RemoteState, RemoteStatus
from broker.scheduler.following import Follower
from broker.scheduler.parts import Parts
from tests.unit.scheduler.conftest import ask
from tests.unit.scheduler.loop_monitor import Steps, watched_loop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from broker.api import Broker
    from tests.fakes.scripted import Script
    from tests.unit.scheduler.conftest import Opener

pytestmark = pytest.mark.anyio
BUSY_S = 0.2
STUCK_S = 0.5  # also a full processor's lock between threads
MANY = 50_000


@pytest.fixture
def steps() -> Iterator[Steps]:
    with watched_loop() as steps:
        yield steps


def assert_free(steps: Steps) -> None:
    assert steps.busy_s < BUSY_S, steps.busy
    assert steps.stuck_s < STUCK_S, steps.stuck


async def test_the_monitor_tells_who_blocks(steps: Steps) -> None:
    time.sleep(1.1 * STUCK_S)  # noqa: ASYNC251 - this is what must be found
    await anyio.lowlevel.checkpoint()
    assert steps.stuck_s > STUCK_S
    busy = time.thread_time()
    while time.thread_time() < busy + 1.1 * BUSY_S:
        pass
    await anyio.lowlevel.checkpoint()
    assert steps.busy_s > BUSY_S


async def test_many_jobs_are_started_and_followed_without_blocking(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker(steps=3, poll_s=0.05) as broker:
        tunings = tuple(TuneRequest(provider="fake", train=str(rows["train"]), seed=seed) for seed in range(100))
        plan = await broker.plan(ExperimentRequest(name="all", tunings=tunings))
        with watched_loop() as steps:
            await broker.start(plan)
            await ask(broker, rows, seed=1000, experiment="all")
            done = await broker.wait(experiment="all")
    assert {job.state for job in done} == {State.SUCCEEDED}
    assert_free(steps)


async def test_a_look_at_very_many_jobs_lets_the_loop_go(
    open_broker: Opener, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = RemoteStatus(state=RemoteState.RUNNING, raw="running")
    script.capabilities["poll_s"] = 0.05
    monkeypatch.setattr("broker.scheduler.following._EVENTS_A_ROUND", 0)

    def all_running(_found: dict[str, RemoteStatus]) -> Mapping[str, RemoteStatus]:
        return {f"job-{number}": running for number in range(MANY)}

    script.statuses = all_running
    async with open_broker(drive=False) as broker:
        follower = _following(broker, MANY)
        with watched_loop() as steps, anyio.move_on_after(2.0):
            await follower.run()
    assert script.calls["poll"] > 1
    assert steps.busy_s < BUSY_S, steps.busy


def _following(broker: Broker, count: int) -> Follower:
    parts = Parts(
        store=broker._store,  # pyright: ignore[reportPrivateUsage]
        accounts=broker.accounts,
        artifacts=Artifacts(broker.data_dir / "artifacts"),
        workers=broker.workers,
        settings=broker.settings,
        data_dir=broker.data_dir,
    )
    follower = Follower(parts, broker.accounts.get("fake"), lambda _job: None)
    now = datetime.now(UTC)
    for number in range(count):
        lease = Lease(job_id=f"tune-{number}", owner="me", token=number, expires_at=now)
        handle = Handle(provider="fake", id=f"job-{number}")
        follower.follow(Working(lease=lease, handle=handle, state=State.RUNNING, remote_status="running"))
    return follower
