"""Runs of the local provider, trained for real."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from broker.errors import RefusedError, WorkerError
from broker.jobs.spec import Method
from broker.providers.contract import CompletionRequest, RemoteState
from broker.providers.local.runs import note_death
from broker.worker.runfolder import RunFolder
from tests.fakes.local_desk import Desk, open_desk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_a_run_from_submit_to_answers(desk: Desk) -> None:
    intent = desk.intent()
    assert desk.provider.check(intent.spec) == []
    assert await desk.provider.find(intent) is None
    handle = await desk.provider.submit(intent)
    assert handle.id == f"run-{intent.key}" and await desk.provider.find(intent) == handle
    status = await desk.until(handle)
    assert status.state is RemoteState.SUCCEEDED, status
    assert status.model is not None and status.model.adapter is not None
    assert status.result["steps"] == 6 and status.trained_tokens
    assert desk.provider.check_model(status.model) == []
    events = [event async for event in desk.provider.events(handle, None)]
    assert [e.data["step"] for e in events if e.kind == "progress"] == [1, 2, 3, 4, 5, 6]
    assert [e.id async for e in desk.provider.events(handle, events[2].id)] == [e.id for e in events[3:]]
    saved = await desk.provider.checkpoints(handle)
    assert [one.step for one in saved] == [3, 6]
    requests = [
        CompletionRequest(id=str(n), messages=({"role": "user", "content": f"What is {n}?"},)) for n in range(5)
    ]
    answers = [answer async for answer in desk.provider.completer(status.model).complete(requests)]
    assert sorted(answer.id for answer in answers) == ["0", "1", "2", "3", "4"]
    assert all(answer.failure is None and answer.batch == 0 for answer in answers)


async def test_killed_worker_then_resumed_gives_the_same_adapter(desk: Desk) -> None:
    plain = await desk.provider.submit(desk.intent(parameters={"epochs": 12, "checkpoint_steps": 2}))
    await desk.until(plain)
    hurt = await desk.provider.submit(desk.intent(parameters={"epochs": 12, "checkpoint_steps": 2}))
    await desk.until_step(hurt, 5)
    os.kill(desk.workers.pids()["device"], signal.SIGKILL)
    status = await desk.until(hurt, RemoteState.INTERRUPTED)
    assert status.error_code == "died"
    await desk.provider.resume(hurt)
    ended = await desk.until(hurt)
    assert ended.state is RemoteState.SUCCEEDED and ended.model is not None
    files = [desk.provider.runs.folder(h.id).adapter / "adapter_model.safetensors" for h in (plain, hurt)]
    assert files[0].read_bytes() == files[1].read_bytes()
    steps = [e.data["step"] async for e in desk.provider.events(hurt, None) if e.kind == "progress"]
    assert steps == list(range(1, 37))


async def test_pause_resume_and_cancel(desk: Desk) -> None:
    handle = await desk.provider.submit(desk.intent(parameters={"epochs": 300}))
    await desk.until_step(handle, 3)
    await desk.provider.pause(handle)
    assert (await desk.until(handle)).state is RemoteState.PAUSED
    before = max(one.step for one in await desk.provider.checkpoints(handle))
    await desk.provider.resume(handle)  # at once: its task may not have ended yet
    await desk.until_step(handle, before + 2)
    await desk.provider.cancel(handle)
    assert (await desk.until(handle, RemoteState.CANCELLED)).state is RemoteState.CANCELLED


async def test_cancelled_in_the_queue(desk: Desk) -> None:
    first = await desk.provider.submit(desk.intent(parameters={"epochs": 300}))
    second = await desk.provider.submit(desk.intent())
    await desk.until_step(first, 1)
    await desk.provider.cancel(second)
    assert (await desk.until(second, RemoteState.CANCELLED)).raw == "cancelled"
    await desk.provider.cancel(first)
    await desk.until(first, RemoteState.CANCELLED)


async def test_closing_the_broker_saves_and_another_one_goes_on(tiny: Path, tmp_path: Path) -> None:
    async with open_desk(tmp_path, tiny) as d:
        intent = d.intent(parameters={"epochs": 30})
        handle = await d.provider.submit(intent)
        await d.until_step(handle, 4)
    async with open_desk(tmp_path, tiny) as d:
        assert await d.provider.find(intent) == handle
        assert (await d.look(handle)).state is RemoteState.INTERRUPTED
        assert max(one.step for one in await d.provider.checkpoints(handle)) >= 4
        await d.provider.resume(handle)
        assert (await d.until(handle)).state is RemoteState.SUCCEEDED


async def test_dpo_by_the_provider(desk: Desk) -> None:
    handle = await desk.provider.submit(desk.intent(method=Method.DPO))
    status = await desk.until(handle)
    assert status.state is RemoteState.SUCCEEDED and 0 <= status.result["reward_accuracy"] <= 1


async def test_a_run_that_dies_at_the_same_place_again_and_again_is_given_up(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    error = WorkerError("the torch process was ended by SIGKILL", kind="died", fix="smaller")
    states: list[str] = []
    run.set_status("running")
    for checkpoint in ("step-000001", "step-000001", "step-000002", "step-000002", "step-000002"):
        (run.checkpoints / checkpoint).mkdir(parents=True, exist_ok=True)
        note_death(run, error)
        states.append(run.status()["state"])
    assert states == ["interrupted"] * 4 + ["failed"]
    assert run.status()["error"]["fix"] == "smaller"


async def test_a_cancel_that_a_dead_process_never_saw_still_counts(desk: Desk) -> None:
    handle = await desk.provider.submit(desk.intent(parameters={"epochs": 300}))
    await desk.until_step(handle, 2)
    await desk.provider.pause(handle)
    await desk.until(handle)
    desk.provider.runs.folder(handle.id).set_wish("cancel")
    await desk.provider.resume(handle)
    assert (await desk.until(handle, RemoteState.CANCELLED)).raw == "cancelled"


async def test_a_wish_of_another_broker_reaches_the_run(desk: Desk) -> None:
    handle = await desk.provider.submit(desk.intent(parameters={"epochs": 300}))
    await desk.until_step(handle, 2)
    desk.provider.runs.folder(handle.id).set_wish("pause")  # as another broker's provider does
    assert (await desk.until(handle)).state is RemoteState.PAUSED
    await desk.provider.cancel(handle)
    assert (await desk.look(handle)).state is RemoteState.CANCELLED
    with pytest.raises(RefusedError):
        await desk.provider.pause(handle)
