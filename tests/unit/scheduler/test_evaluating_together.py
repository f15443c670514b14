"""Where jobs are done on this machine, evaluations run side by side and a tuning job has it for itself, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from broker.jobs.states import State
from tests.unit.scheduler.conftest import becomes, tune, until

if TYPE_CHECKING:
    from pathlib import Path

    from broker.api import Broker
    from broker.jobs.records import Intent, Job
    from broker.jobs.spec import ModelRef
    from tests.fakes.scripted import Script
    from tests.unit.scheduler.conftest import Opener

pytestmark = pytest.mark.anyio
Rows = dict[str, "Path"]


class Floor:
    """What is done on the machine: who asks waits until the test opens the gate."""

    def __init__(self, script: Script, *, asking: int) -> None:
        script.capabilities |= {"remote": False, "concurrency": 1, "asking": asking}
        script.before |= {"complete": self._complete, "submit": self._submit}
        self.log: list[str] = []
        self.gate = anyio.Event()
        self._here = 0
        self.most = 0

    async def _complete(self, model: ModelRef) -> None:
        self.log.append(model.name)
        self._here += 1
        self.most = max(self.most, self._here)
        try:
            await self.gate.wait()
        finally:
            self._here -= 1

    async def _submit(self, _intent: Intent) -> None:
        assert self._here == 0
        self.log.append("tune")

    async def come(self, count: int) -> None:
        async def came() -> bool:
            return len(self.log) >= count

        await until(came)
        await anyio.sleep(0.1)  # nobody else comes


async def judge(broker: Broker, rows: Rows, *models: str) -> list[Job]:
    return await broker.evaluate(
        *(f"fake:{name}" for name in models), validation=rows["validation"], metrics=["length"]
    )


async def test_as_many_at_once_as_the_provider_says(open_broker: Opener, rows: Rows, script: Script) -> None:
    floor = Floor(script, asking=3)
    async with open_broker() as broker:
        jobs = await judge(broker, rows, "a", "b", "c", "d")
        await floor.come(3)
        assert sorted(floor.log) == ["a", "b", "c"]
        floor.gate.set()
        ended = await broker.wait(experiment=jobs[0].experiment)
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert sorted(floor.log) == ["a", "b", "c", "d"]


async def test_a_tuning_job_comes_in_its_turn_and_alone(open_broker: Opener, rows: Rows, script: Script) -> None:
    floor = Floor(script, asking=8)
    async with open_broker(drive=False) as broker:
        await judge(broker, rows, "a", "b")
        tuned = await tune(broker, rows)
        (last,) = await judge(broker, rows, "c")
    async with open_broker(steps=3) as broker:
        await floor.come(2)
        assert sorted(floor.log) == ["a", "b"]
        assert (await broker.job(tuned.id)).state is State.QUEUED
        assert (await broker.job(last.id)).state is State.QUEUED
        floor.gate.set()
        await becomes(broker, last, State.SUCCEEDED)
        assert (await broker.job(tuned.id)).state is State.SUCCEEDED
    assert floor.log[2:] == ["tune", "c"]


async def test_one_that_is_cancelled_makes_room_and_disturbs_nobody(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    floor = Floor(script, asking=2)
    async with open_broker() as broker:
        jobs = await judge(broker, rows, "a", "b", "c")
        await floor.come(2)
        first = next(job for job in jobs if job.spec.model.name == floor.log[0])  # type: ignore[union-attr]  # evaluations
        await broker.cancel(first)
        await floor.come(3)
        floor.gate.set()
        ended = await broker.wait(experiment=jobs[0].experiment)
    assert sorted(job.state for job in ended) == [State.CANCELLED, State.SUCCEEDED, State.SUCCEEDED]
    assert floor.most == 2


async def test_a_tuning_job_that_waits_is_cancelled_at_once(open_broker: Opener, rows: Rows, script: Script) -> None:
    floor = Floor(script, asking=8)
    async with open_broker(drive=False) as broker:
        await judge(broker, rows, "a")
        tuned = await tune(broker, rows)
        await judge(broker, rows, "b")
    async with open_broker() as broker:
        await floor.come(1)
        await broker.cancel(tuned)
        await becomes(broker, tuned, State.CANCELLED)
        floor.gate.set()
        await until(lambda: _all_ended(broker))
    assert floor.log == ["a", "b"]


async def _all_ended(broker: Broker) -> bool:
    return all(job.resting for job in await broker.jobs())
