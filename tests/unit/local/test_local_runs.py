"""Runs of the local provider, trained for real."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from broker.jobs.spec import Method
from broker.providers.contract import CompletionRequest, RemoteState

if TYPE_CHECKING:
    from tests.unit.local.conftest import Open

pytestmark = pytest.mark.anyio


async def test_a_run_from_submit_to_answers(desk: Open) -> None:
    async with desk() as d:
        intent = d.intent()
        assert d.provider.check(intent.spec) == []
        assert await d.provider.find(intent) is None
        handle = await d.provider.submit(intent)
        assert handle.id == f"run-{intent.key}" and await d.provider.find(intent) == handle
        status = await d.until(handle)
        assert status.state is RemoteState.SUCCEEDED, status
        assert status.model is not None and status.model.adapter is not None
        assert status.result["steps"] == 6 and status.trained_tokens
        assert d.provider.check_model(status.model) == []
        events = [event async for event in d.provider.events(handle, None)]
        assert [e.data["step"] for e in events if e.kind == "progress"] == [1, 2, 3, 4, 5, 6]
        assert [e.id async for e in d.provider.events(handle, events[2].id)] == [e.id for e in events[3:]]
        saved = await d.provider.checkpoints(handle)
        assert [one.step for one in saved] == [3, 6]
        requests = [
            CompletionRequest(id=str(n), messages=({"role": "user", "content": f"What is {n}?"},)) for n in range(5)
        ]
        answers = [answer async for answer in d.provider.completer(status.model).complete(requests)]
        assert sorted(answer.id for answer in answers) == ["0", "1", "2", "3", "4"]
        assert all(answer.failure is None and answer.batch == 0 for answer in answers)


async def test_killed_worker_then_resumed_gives_the_same_adapter(desk: Open) -> None:
    async with desk() as d:
        plain = await d.provider.submit(d.intent(parameters={"epochs": 12, "checkpoint_steps": 2}))
        await d.until(plain)
        hurt = await d.provider.submit(d.intent(parameters={"epochs": 12, "checkpoint_steps": 2}))
        await d.until_step(hurt, 5)
        os.kill(d.workers.pids()["device"], signal.SIGKILL)
        status = await d.until(hurt, RemoteState.INTERRUPTED)
        assert status.error_code == "died"
        await d.provider.resume(hurt)
        ended = await d.until(hurt)
        assert ended.state is RemoteState.SUCCEEDED and ended.model is not None
        files = [d.provider.runs.folder(h.id).adapter / "adapter_model.safetensors" for h in (plain, hurt)]
        assert files[0].read_bytes() == files[1].read_bytes()
        steps = [e.data["step"] async for e in d.provider.events(hurt, None) if e.kind == "progress"]
        assert steps == list(range(1, 37))


async def test_pause_resume_and_cancel(desk: Open) -> None:
    async with desk() as d:
        handle = await d.provider.submit(d.intent(parameters={"epochs": 300}))
        await d.until_step(handle, 3)
        await d.provider.pause(handle)
        assert (await d.until(handle)).state is RemoteState.PAUSED
        before = max(one.step for one in await d.provider.checkpoints(handle))
        await d.provider.resume(handle)
        await d.until_step(handle, before + 2)
        await d.provider.cancel(handle)
        assert (await d.until(handle, RemoteState.CANCELLED)).state is RemoteState.CANCELLED


async def test_cancelled_in_the_queue(desk: Open) -> None:
    async with desk() as d:
        first = await d.provider.submit(d.intent(parameters={"epochs": 300}))
        second = await d.provider.submit(d.intent())
        await d.until_step(first, 1)
        await d.provider.cancel(second)
        assert (await d.until(second, RemoteState.CANCELLED)).raw == "cancelled"
        await d.provider.cancel(first)
        await d.until(first, RemoteState.CANCELLED)


async def test_closing_the_broker_saves_and_another_one_goes_on(desk: Open) -> None:
    async with desk() as d:
        intent = d.intent(parameters={"epochs": 30})
        handle = await d.provider.submit(intent)
        await d.until_step(handle, 4)
    async with desk() as d:
        assert await d.provider.find(intent) == handle
        assert (await d.look(handle)).state is RemoteState.INTERRUPTED
        assert max(one.step for one in await d.provider.checkpoints(handle)) >= 4
        await d.provider.resume(handle)
        assert (await d.until(handle)).state is RemoteState.SUCCEEDED


async def test_dpo_by_the_provider(desk: Open) -> None:
    async with desk() as d:
        handle = await d.provider.submit(d.intent(method=Method.DPO))
        status = await d.until(handle)
        assert status.state is RemoteState.SUCCEEDED and 0 <= status.result["reward_accuracy"] <= 1
