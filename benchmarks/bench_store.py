"""How fast the store is, in a new SQLite file with 100,000 jobs unless told otherwise.

Usage: python benchmarks/bench_store.py [URL] [JOBS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.ids import new_intent_key, new_job_id
from broker.jobs.records import EventKind, Experiment, Handle, Intent, Job, Lease, NewEvent, NewJob
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State
from broker.jobs.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)
SPEC = TuneSpec(provider="fake", model="m", train=ROWS, parameters={"rank": 64, "rate": 2e-4, "targets": ("q", "k")})


def timed(name: str, count: int, work: Callable[[], Any]) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{name:34} {count / wall:10,.0f}/s {wall / count * 1e3:10.3f} ms {cpu / count * 1e3:10.3f} ms of CPU",
        flush=True,
    )
    return result


def new(count: int) -> list[NewJob]:
    return [NewJob(id=new_job_id(JobKind.TUNE), spec=SPEC) for _ in range(count)]


def submit(store: Store, job: Job, lease: Lease) -> None:
    intent = Intent(key=new_intent_key(), job_id=job.id, attempt=1, spec=SPEC, created_at=job.created_at)
    store.record_intent(lease, intent)


def events(job: Job, start: int) -> list[NewEvent]:
    return [
        NewEvent(job_id=job.id, kind=EventKind.PROGRESS, data={"step": step, "loss": 0.5}, source_id=str(step))
        for step in range(start, start + 100)
    ]


def main(url: str, jobs: int) -> None:
    store = open_store(url)
    store.add_experiment(Experiment(name="bench", created_at=datetime.now(UTC)))
    timed("add jobs, 1,000 at once", jobs, lambda: [store.add_jobs("bench", new(1000)) for _ in range(jobs // 1000)])
    timed("claim 1", 300, lambda: [store.claim("a", lease_s=600, limit=1) for _ in range(300)])
    held = timed(
        "claim 100", 2000, lambda: [one for _ in range(20) for one in store.claim("a", lease_s=600, limit=100)]
    )
    timed("transition", 2000, lambda: [store.transition(lease, State.PREPARING) for _, lease in held])
    timed("intent", 2000, lambda: [submit(store, job, lease) for job, lease in held])
    timed("handle", 2000, lambda: [store.record_handle(lease, Handle(provider="f", id=job.id)) for job, lease in held])
    timed("update", 2000, lambda: [store.update(lease, remote_status="running") for _, lease in held])
    timed("events, 100 at once", 20_000, lambda: [store.append_events(events(held[0][0], n * 100)) for n in range(200)])
    timed("events, read 1,000", 1000, lambda: store.events(held[0][0].id, after=5000))
    timed("one job", 1000, lambda: [store.job(job.id) for job, _ in held[:1000]])
    timed("first 100 jobs", 1, lambda: store.jobs(limit=100))
    timed("newest 100 jobs", 1, lambda: store.jobs(limit=100, newest_first=True))
    timed("100 jobs after 90 % of them", 1, lambda: store.jobs(limit=100, offset=jobs * 9 // 10))
    timed("newest 100 running", 1, lambda: store.jobs(states=[State.RUNNING], limit=100, newest_first=True))
    timed("count by state", 1, store.count_jobs)
    timed("money of an experiment", 1, lambda: store.spent("bench"))
    timed(
        "claim for nobody's provider",
        20,
        lambda: [store.claim("a", lease_s=9, limit=9, providers=["x"]) for _ in range(20)],
    )
    rest = timed("claim all the rest", jobs, lambda: store.claim("a", lease_s=600, limit=jobs))
    timed("claim when all are held", 100, lambda: [store.claim("b", lease_s=60, limit=10) for _ in range(100)])
    timed("renew all", jobs, lambda: store.renew([lease for _, lease in rest], lease_s=600))
    timed("release all", jobs, lambda: store.release([lease for _, lease in rest]))
    timed("all jobs", jobs, store.jobs)
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(*(sys.argv[1:2] or [f"sqlite:///{folder}/broker.db"]), int((sys.argv[2:3] or ["100000"])[0]))
