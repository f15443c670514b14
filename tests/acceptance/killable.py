"""A broker process that kills itself right after a named write to its store, or kills its own torch process.

Usage: killable.py DATA_DIR CACHE_DIR TRAIN VALIDATION OUT [MOMENT]

MOMENT: `tune:STATE`, `evaluate:STATE` (right after that state was committed), `send` (right after the send was counted,
before it goes out), `step:N` (right after progress of step N was stored), `row:N`. With `worker:N+` before it the torch
process is killed at step N, which the broker survives. Without MOMENT it runs to the end and writes the table to OUT.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio

import broker.jobs.store as stores
from broker.api import Broker, ExperimentRequest, TuneRequest
from broker.jobs.spec import Decoding, ParameterValue
from broker.results import to_json
from broker.settings import load_settings

_open_store = stores.open_store


class DyingStore:
    """The real store; after the named write the process is gone, as if the power had failed."""

    def __init__(self, store: Any, moment: str) -> None:
        self._store = store
        self._what, _, self._when = moment.rpartition("+")[2].partition(":")

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name in ("transition", "record_intent", "record_handle"):
            return lambda *args, **kwargs: self._after_state(real(*args, **kwargs))
        if name == "record_send":
            return lambda *args, **kwargs: self._after(real(*args, **kwargs), self._what == "send")
        if name == "append_events":
            return lambda events: self._after(real(events), self._reached(events))
        return real

    def _after_state(self, job: Any) -> Any:
        return self._after(job, (job.kind, job.state) == (self._what, self._when))

    def _reached(self, events: Any) -> bool:
        name = {"step": "step", "row": "rows"}.get(self._what)
        return name is not None and any(event.data.get(name, -1) >= int(self._when) for event in events)

    def _after(self, result: Any, due: bool) -> Any:
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


async def _kill_the_worker(broker: Broker, step: int) -> None:
    async for event in broker.watch(experiment="killed", after=-1):
        if event.data.get("step", -1) >= step:
            os.kill(broker.workers.pids()["device"], signal.SIGKILL)
            return


async def main(data: Path, cache: Path, train: str, validation: str, out: Path, moment: str) -> None:
    settings = load_settings(overrides={"data_dir": data, "cache_dir": cache, "lease_s": 2.0, "device": "cpu"})
    parameters: dict[str, ParameterValue] = {
        "lr": 1e-3,
        "epochs": 3,
        "batch_size": 8,
        "grad_accum": 1,
        "precision": "bf16",
    }
    request = ExperimentRequest(
        name="killed",
        validation=validation,
        tunings=(TuneRequest(provider="local", model="sandbox", train=train, parameters=parameters),),
        metrics=("conversational", "flesch", "length"),
        decoding=Decoding(max_tokens=24),
    )
    async with Broker(settings) as broker, anyio.create_task_group() as tasks:
        await broker.start(await broker.plan(request))
        if moment.startswith("worker:"):
            tasks.start_soon(_kill_the_worker, broker, int(moment.partition("+")[0].partition(":")[2]))
        await broker.wait(experiment="killed")
        table = json.loads(to_json(await broker.results("killed")))
        jobs = await broker.jobs()
        adapters = [job.model.adapter for job in jobs if job.model is not None and job.model.adapter is not None]
        found = {"table": table, "adapter": adapters[0], "states": [job.state for job in jobs]}
        await anyio.Path(out).write_text(json.dumps(found))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    moment = sys.argv[6] if len(sys.argv) > 6 else ""
    stores.open_store = lambda *args, **kwargs: DyingStore(_open_store(*args, **kwargs), moment)
    anyio.run(main, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]), moment)
