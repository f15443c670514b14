"""A hundred thousand running jobs in one process: memory, the time from a restart to the first poll, the cost of it.

The store is filled in batches, as if another process had submitted the jobs and been killed. Then a process of its own
starts, finds them, and follows them at a provider whose list is instant: only the broker's own part is measured.

Run: python benchmarks/bench_following.py [--jobs 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import anyio

from broker.jobs.artifacts import Artifacts
from broker.jobs.records import Experiment, Handle, NewJob
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.store import open_store
from broker.providers.contract import Capabilities, RemoteState, RemoteStatus
from broker.scheduler import Scheduler
from broker.scheduler.parts import Parts
from broker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker.providers.contract import RemoteEvent

RUNNING = RemoteStatus(state=RemoteState.RUNNING, raw="running")
POLL_S = 5.0
LEASE_S = 30.0
BATCH = 5000
WATCHED_S = 12.0


class Instant:
    """A provider that answers at once, and notes when it was asked about how many jobs."""

    name = "instant"
    capabilities = Capabilities(tuner=True, poll_s=POLL_S)

    def __init__(self, count: int) -> None:
        self.polls: list[tuple[float, int]] = []
        self.all = anyio.Event()
        self._count = count

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        self.polls.append((time.monotonic(), len(handles)))
        if len(handles) >= self._count:
            self.all.set()
        return {handle.id: RUNNING for handle in handles}

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        del handle, after
        for nothing in cast("tuple[RemoteEvent, ...]", ()):
            yield nothing


class OneAccount:
    """The accounts of this benchmark: one, open."""

    def __init__(self, provider: Instant) -> None:
        self._provider = provider

    def names(self) -> list[str]:
        return [self._provider.name]

    def get(self, name: str) -> Instant:
        del name
        return self._provider

    def capabilities(self, name: str) -> Capabilities:
        del name
        return self._provider.capabilities


def fill(folder: Path, count: int) -> None:
    store = open_store(f"sqlite:///{folder}/broker.db")
    store.add_experiment(Experiment(name="bench", created_at=datetime.now(UTC)))
    rows = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)
    spec = TuneSpec(provider="instant", model="m", train=rows)
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        new = [
            NewJob(id=f"tune-{n:010d}", spec=spec, handle=Handle(provider="instant", id=f"ftjob-{n:024d}"))
            for n in numbers
        ]
        store.add_jobs("bench", new)
    for job, lease in store.claim("killed", lease_s=3600, limit=count):
        store.update(lease, remote_status="running", started_at=job.created_at)
    store.disown("killed")
    store.close()


def memory_mb(kind: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(kind))) / 1024


async def follow(folder: Path, count: int) -> dict[str, float]:
    begun = time.monotonic()
    provider = Instant(count)
    settings = load_settings(overrides={"data_dir": folder})
    parts = Parts(
        store=open_store(f"sqlite:///{folder}/broker.db"),
        accounts=cast("Any", OneAccount(provider)),
        artifacts=Artifacts(folder / "artifacts"),
        workers=cast("Any", SimpleNamespace()),
        settings=settings,
        data_dir=folder,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(parts, lease_s=LEASE_S).run)
        await provider.all.wait()
        cpu, wall = time.process_time(), time.monotonic()
        await anyio.sleep(WATCHED_S)
        busy = (time.process_time() - cpu) / (time.monotonic() - wall)
        tasks.cancel_scope.cancel()
    return {
        "jobs": count,
        "to_first_poll_s": round(provider.polls[0][0] - begun, 2),
        "to_first_poll_of_all_s": round(next(at for at, asked in provider.polls if asked == count) - begun, 2),
        "cpu_share_while_following": round(busy, 3),
        "memory_mb": round(memory_mb("VmRSS"), 1),
        "peak_mb": round(memory_mb("VmHWM"), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--follow", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.follow:
        print(json.dumps(anyio.run(follow, asked.follow, asked.jobs[0])))
        return
    for count in asked.jobs:
        with tempfile.TemporaryDirectory() as name:
            fill(Path(name), count)
            command = [sys.executable, __file__, "--follow", name, "--jobs", str(count)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
