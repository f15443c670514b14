"""The torch processes, seen from the broker: one per lane, started when first called, one op at a time each."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from broker.worker.lane import Lane, Stopper
from broker.worker.locks import machine_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from anyio.abc import TaskGroup

__all__ = ["DEVICE", "Stopper", "WorkerPool"]

DEVICE = "device"
_SECRETS = ("_API_KEY", "_SECRET", "_PASSWORD", "_STORE_URL")
_DEFAULTS = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU: a resumed run must be bit-equal
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin make every step five times as long beside another busy process
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled here; bitsandbytes would load the compiler, a second and more
}


class WorkerPool:
    """Calls ops of the torch processes.

    The lane `device` does training and evaluation: one op at a time, first come first served, and under a lock per
    device that all brokers of the machine share. Other lanes (`serve`) are processes of their own without that lock.
    """

    def __init__(
        self,
        data_dir: Path,
        tasks: TaskGroup,
        *,
        python: str = sys.executable,
        device: str | None = None,
        lock_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        patience_s: float = 60.0,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            data_dir: The processes' logs go to `data_dir / "worker"`.
            tasks: Owns the tasks that read from the processes.
            python: Interpreter to run.
            device: `cpu`, `cuda`, `cuda:1`, …; the fastest present when not given.
            lock_dir: Folder of the device locks; one for the whole machine when not given.
            env: More environment for the processes (`HF_TOKEN`, `OMP_NUM_THREADS`).
            patience_s: How long an op may take to stop when its caller is cancelled, seconds; then it is killed.
        """
        self._folder = data_dir / "worker"
        self._tasks = tasks
        self._command = [python, "-m", "broker.worker", *(["--device", device] if device else [])]
        self._lock_dir = lock_dir or machine_folder()
        self._env = _environment(env or {})
        self._patience_s = patience_s
        self._lanes: dict[str, Lane] = {}

    async def call(
        self,
        op: str,
        args: Mapping[str, Any],
        *,
        lane: str = DEVICE,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        stopper: Stopper | None = None,
    ) -> dict[str, Any]:
        """Run an op and wait for its result.

        When the caller is cancelled the op is told to stop (it saves what it needs) and is waited for.

        Args:
            op: A name of `broker.worker.ops.OPS`.
            args: Its arguments, plain JSON data.
            lane: Which process.
            on_event: Called with each event, in the broker's own thread; must return at once.
            stopper: Lets others stop the op; the result then has `stopped`.

        Returns:
            The op's result.

        Raises:
            MissingExtraError: A package is not installed.
            WorkerError: The op failed, or its process died (`kind="died"`).
        """
        return await self._lane(lane).call(op, args, on_event=on_event, stopper=stopper or Stopper())

    def pids(self) -> dict[str, int]:
        """Return the process ids of the lanes that run."""
        return {name: lane.pid for name, lane in self._lanes.items() if lane.pid is not None}

    async def aclose(self) -> None:
        """End all processes; ops that run save what they need first."""
        for lane in self._lanes.values():
            await lane.hang_up()
        for lane in self._lanes.values():
            await lane.aclose()

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            lock = ["--lock-dir", str(self._lock_dir)] if name == DEVICE else []
            self._lanes[name] = Lane(
                name,
                command=[*self._command, *lock],
                env=self._env,
                log=self._folder / f"{name}.log",
                tasks=self._tasks,
                patience_s=self._patience_s,
            )
        return self._lanes[name]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith(_SECRETS)}
    return {**_DEFAULTS, **kept, **more}
