"""The torch process seen from the broker: stops, deaths, locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from broker.errors import MissingExtraError, WorkerError
from broker.worker.lane import Stopper
from broker.worker.locks import FileLock
from broker.worker.pool import WorkerPool

pytestmark = pytest.mark.anyio
Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[WorkerPool]:
    folder = tmp_path_factory.mktemp("pool")
    async with anyio.create_task_group() as tasks:
        opened = WorkerPool(folder, tasks, lock_dir=folder / "locks", device="cpu")
        try:
            yield opened
        finally:
            with anyio.CancelScope(shield=True):
                await opened.aclose()


def long(train_args: Make, name: str) -> dict[str, Any]:
    return train_args(name, parameters={"epochs": 2000, "checkpoint_steps": 0})


def half_done(args: dict[str, Any]) -> list[Path]:
    return [path for pattern in (".new-*", "step-*") for path in Path(args["run"]).rglob(pattern)]


def state(args: dict[str, Any]) -> str:
    return str(json.loads((Path(args["run"]) / "status.json").read_text())["state"])


async def test_describe_says_what_the_machine_has(pool: WorkerPool) -> None:
    facts = await pool.call("describe", {})
    assert facts["device"] == "cpu" and set(facts["precisions"]) == {"bf16", "fp32", "int8", "nf4"}
    assert facts["versions"]["torch"] and facts["int8_arithmetic"] is False


async def test_an_unknown_model_is_an_error_and_the_process_lives_on(pool: WorkerPool, tmp_path: Path) -> None:
    pids = pool.pids()
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkerError) as caught:
        await pool.call("generate", {"model": str(tmp_path / "empty"), "requests": []})
    assert caught.value.kind == "no_tokenizer" and "tokenizer.json" in caught.value.fix
    assert pool.pids() == pids or not pids


async def test_pause_by_a_stopper_while_it_runs_and_before_it_starts(pool: WorkerPool, train_args: Make) -> None:
    stopper, first, second = Stopper(), long(train_args, "first"), long(train_args, "second")
    results: dict[str, Any] = {}

    async def call(name: str, args: dict[str, Any], own: Stopper) -> None:
        results[name] = await pool.call("train", args, stopper=own, on_event=seen)

    def seen(event: dict[str, Any]) -> None:
        if event["kind"] == "progress" and event["step"] == 3:
            waiting.stop("cancel")
            stopper.stop("pause")

    waiting = Stopper()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "first", first, stopper)
            tasks.start_soon(call, "second", second, waiting)
    assert results == {"first": {"stopped": "pause"}, "second": {"stopped": "cancel"}}
    assert state(first) == "paused" and not (Path(second["run"]) / "status.json").exists()
    assert list((Path(first["run"]) / "checkpoints").glob("step-*"))


async def test_cancelling_the_caller_saves_the_run(pool: WorkerPool, train_args: Make) -> None:
    args = long(train_args, "cancelled")
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        await pool.call("train", args, on_event=lambda e: scope.cancel() if e.get("step") == 2 else None)
    assert scope.cancelled_caught and state(args) == "interrupted"
    assert list((Path(args["run"]) / "checkpoints").glob("step-*"))
    assert (await pool.call("describe", {}))["device"] == "cpu"  # the lane is free again


async def test_an_error_of_the_callers_own_function_reaches_the_caller(pool: WorkerPool, train_args: Make) -> None:
    def broken(_event: dict[str, Any]) -> None:
        raise RuntimeError("my own")

    stopper = Stopper()
    with pytest.raises(RuntimeError, match="my own"):
        await pool.call("train", train_args("own"), on_event=broken, stopper=stopper)


async def test_a_killed_process_is_told_with_advice_and_replaced(pool: WorkerPool, train_args: Make) -> None:
    args = long(train_args, "killed")

    def kill(event: dict[str, Any]) -> None:
        if event.get("step") == 2:
            os.kill(pool.pids()["device"], signal.SIGKILL)

    with anyio.fail_after(60), pytest.raises(WorkerError) as caught:
        await pool.call("train", args, on_event=kill)
    assert caught.value.kind == "died" and "SIGKILL" in str(caught.value) and "memory" in caught.value.fix
    assert state(args) == "running"  # nobody could say otherwise; the locks tell that nobody trains it
    assert (await pool.call("describe", {}))["device"] == "cpu"


async def test_another_process_on_the_device_is_waited_for(tmp_path: Path, tiny: Path) -> None:
    lock = FileLock(tmp_path / "locks" / "cpu.lock")
    assert lock.acquire()
    told, answered = anyio.Event(), anyio.Event()
    results: list[dict[str, Any]] = []
    ask = {"model": str(tiny), "requests": [{"id": "1", "messages": [{"role": "user", "content": "x"}]}]}

    def hear(event: dict[str, Any]) -> None:
        if event["kind"] == "log" and "waiting" in event["message"]:
            told.set()

    async def call(own: WorkerPool) -> None:
        results.append(await own.call("generate", ask, on_event=hear))
        answered.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            own = WorkerPool(tmp_path, tasks, lock_dir=tmp_path / "locks", device="cpu")
            tasks.start_soon(call, own)
            await told.wait()
            assert results == []
            lock.release()
            await answered.wait()
            await own.aclose()
    assert results[0]["rows"] == 1


def test_end_of_input_saves_and_ends_the_process(train_args: Make, tmp_path: Path) -> None:
    """As when the broker is killed: nobody is left to send a stop."""
    args = long(train_args, "orphan")
    command = [sys.executable, "-m", "broker.worker", "--device", "cpu"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps({"call": 1, "op": "train", "args": args}).encode() + b"\n")
        child.stdin.flush()
        for line in child.stdout:
            if json.loads(line).get("event", {}).get("step") == 2:
                break
        child.stdin.close()
        child.stdout.close()  # nobody listens either
        assert child.wait(30) == 0
    assert state(args) == "interrupted" and list((Path(args["run"]) / "checkpoints").glob("step-*"))


async def test_a_missing_package_is_the_pip_command(tmp_path: Path) -> None:
    # A Python that finds the broker but no torch.
    root = Path(__file__).parents[3]
    async with anyio.create_task_group() as tasks:
        env = {"PYTHONPATH": str(root), "PYTHONNOUSERSITE": "1"}
        bare = WorkerPool(tmp_path, tasks, python=_bare_python(tmp_path), env=env, lock_dir=tmp_path)
        with pytest.raises(MissingExtraError) as caught:
            await bare.call("describe", {})
        await bare.aclose()
        assert caught.value.fix == "pip install 'finetune-broker[local]'"


def _bare_python(folder: Path) -> str:
    """Return an interpreter that sees no installed package."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" -S "$@"\n')
    script.chmod(0o755)
    return str(script)


async def test_a_full_disk_is_told_and_nothing_half_done_is_left(tmp_path: Path, train_args: Make) -> None:
    args = train_args("full")
    async with anyio.create_task_group() as tasks:
        pool = WorkerPool(tmp_path, tasks, python=_limited_python(tmp_path), lock_dir=tmp_path, device="cpu")
        with pytest.raises(WorkerError) as caught:
            await pool.call("train", args)
        await pool.aclose()
        assert caught.value.kind == "disk" and "free some space" in caught.value.fix
    assert state(args) == "failed"
    assert half_done(args) == []


async def test_a_hub_model_without_network_names_the_offline_one(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
        pool = WorkerPool(tmp_path, tasks, env=env, lock_dir=tmp_path, device="cpu")
        found: dict[str, WorkerError] = {}
        for op, more in (("generate", {"requests": []}), ("embed", {"texts": ["x"]})):
            with pytest.raises(WorkerError) as caught:
                await pool.call(op, {"model": "nobody/nothing", **more})
            found[op] = caught.value
        await pool.aclose()
        assert {error.kind for error in found.values()} == {"offline"}
        assert "--model sandbox" in found["generate"].fix


def _limited_python(folder: Path) -> str:
    """Return an interpreter that may write files of 20 KB at most."""
    script = folder / "limited"
    script.write_text(f'#!/bin/sh\nulimit -f 40\nexec "{sys.executable}" "$@"\n')  # blocks of 512 bytes
    script.chmod(0o755)
    return str(script)
