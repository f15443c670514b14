"""A local provider with everything real: workers, artifacts, catalog; only the model is tiny."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.ids import new_intent_key
from broker.jobs.records import Handle, Intent
from broker.jobs.spec import DatasetRef, Method, RowFormat, TuneSpec
from broker.providers.contract import ProviderContext, RemoteState, RemoteStatus
from broker.providers.local import LocalProvider, create
from broker.settings import Account
from broker.worker.pool import WorkerPool
from tests.fakes.tiny_model import chat_row, preference_row

ENDS = {RemoteState.SUCCEEDED, RemoteState.FAILED, RemoteState.CANCELLED, RemoteState.PAUSED}


class NoUploads:
    async def get(self, sha256: str, purpose: str) -> str | None:
        return None

    async def put(self, sha256: str, purpose: str, remote_id: str) -> None: ...

    async def forget(self, remote_id: str) -> None: ...


@dataclass
class Desk:
    """A provider and what belongs to it."""

    provider: LocalProvider
    workers: WorkerPool
    artifacts: Artifacts
    model: Path

    def intent(self, *, rows: int = 20, method: Method = Method.SFT, **changes: Any) -> Intent:
        make = preference_row if method is Method.DPO else chat_row
        lines = [json.dumps(make(number)) for number in range(rows)]
        ref = DatasetRef(
            sha256=self.artifacts.put_lines(lines),
            name="train.jsonl",
            format=RowFormat.PREFERENCE if method is Method.DPO else RowFormat.CHAT,
            rows=rows,
            bytes=1,
            tokens=1,
            longest_tokens=1,
        )
        quick = {"precision": "fp32", "rank": 4, "lr": 0.01, "epochs": 2, "batch_size": 4, "grad_accum": 2}
        parameters = {**quick, **changes.pop("parameters", {})}
        given: Any = {"provider": "local", "model": str(self.model), "train": ref, "method": method, **changes}
        spec = TuneSpec(**given, parameters=parameters)
        key = new_intent_key()
        return Intent(key=key, job_id="tune-1", attempt=1, spec=spec, created_at=datetime.now(UTC))

    async def look(self, handle: Handle) -> RemoteStatus:
        return (await self.provider.poll([handle]))[handle.id]

    async def until(self, handle: Handle, *states: RemoteState) -> RemoteStatus:
        """Look until the run is in one of the states (any end, when none is named)."""
        wanted = set(states) or ENDS
        with anyio.fail_after(90):
            while True:
                status = await self.look(handle)
                if status.state in wanted:
                    return status
                await anyio.sleep(0.02)

    async def until_step(self, handle: Handle, step: int) -> None:
        """Look until the run has told of a step."""
        with anyio.fail_after(90):
            while step > await self.last_step(handle):  # noqa: ASYNC110  (another process writes what is looked at)
                await anyio.sleep(0.02)

    async def last_step(self, handle: Handle) -> int:
        events = [event async for event in self.provider.events(handle, None)]
        return max((int(event.data.get("step", 0)) for event in events), default=0)


Open = Callable[[], AbstractAsyncContextManager[Desk]]


@asynccontextmanager
async def open_desk(folder: Path, model: Path, **options: Any) -> AsyncGenerator[Desk]:
    """Open a provider whose files are in `folder`; options go to its account."""
    async with anyio.create_task_group() as tasks:
        workers = WorkerPool(folder, tasks, lock_dir=folder / "locks", device="cpu")
        artifacts = Artifacts(folder / "artifacts")
        context = ProviderContext(
            name="local",
            account=Account(kind="local", options=options),
            catalog=Catalog.load(),
            artifacts=artifacts,
            uploads=NoUploads(),
            data_dir=folder,
            cache_dir=folder / "cache",
            workers=workers,
            tasks=tasks,
        )
        provider = create(context)
        try:
            yield Desk(provider, workers, artifacts, model)
        finally:
            with anyio.CancelScope(shield=True):
                await provider.aclose()
                await workers.aclose()
