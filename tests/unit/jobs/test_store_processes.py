"""Several brokers on one store: every job is driven once, also when one of them stops past its leases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.jobs.records import Experiment
from broker.jobs.states import State

if TYPE_CHECKING:
    from broker.jobs.store import Store

    Life = Any

_WORKER = """
import os, signal, sys
from broker.errors import LeaseLostError
from broker.jobs.states import State
from broker.jobs.store import open_store

url, owner, stops = sys.argv[1], sys.argv[2], sys.argv[3] == "stops"
store = open_store(url)
driven = 0
while sum(store.count_jobs().get(state, 0) for state in (State.QUEUED, State.PREPARING, State.RUNNING)):
    claimed = store.claim(owner, lease_s=2.0 if stops else 60.0, limit=20)
    for job, lease in claimed:
        try:
            if job.state is State.QUEUED:
                store.transition(lease, State.PREPARING)
            if stops and driven == 30:
                stops = False
                os.kill(os.getpid(), signal.SIGSTOP)
            if job.state is not State.RUNNING:
                store.transition(lease, State.RUNNING)
            store.transition(lease, State.SUCCEEDED, result={"owner": owner})
            driven += 1
            print("drove", job.id)
        except LeaseLostError:
            print("lost", job.id)
    store.release([lease for _, lease in claimed])
"""


def _worker(url: str, owner: str, *, stops: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WORKER, url, owner, "stops" if stops else "goes"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)
def test_jobs_are_driven_once_by_several_processes(life: Life, store: Store, store_url: str) -> None:
    number = 1000 if store_url.startswith("sqlite") else 300
    tune = life.tune()
    life.add(*(life.evaluate(tune, depends_on=()) for _ in range(number)))
    stopped = _worker(store_url, "stopped", stops=True)
    assert os.WIFSTOPPED(os.waitpid(stopped.pid, os.WUNTRACED)[1])
    others = [_worker(store_url, f"worker-{name}", stops=False) for name in range(3)]
    said = [process.communicate(timeout=250) for process in others]
    assert store.count_jobs() == {State.SUCCEEDED: number}
    os.kill(stopped.pid, signal.SIGCONT)
    said.append(stopped.communicate(timeout=60))
    assert [complaints for _, complaints in said] == [""] * 4
    words = [line.split() for output, _ in said for line in output.splitlines()]
    driven = [job_id for word, job_id in words if word == "drove"]
    assert len(driven) == len(set(driven)) == number
    # What the stopped one had claimed was lost to it, and said so: one job in mid-life, nine untouched.
    assert [word for word, _ in words].count("lost") == 10
    ends = Counter(event.job_id for event in store.events(limit=10**6) if event.data.get("to") == "succeeded")
    assert ends == Counter(driven)
    assert sum(job.result["owner"] == "stopped" for job in store.jobs()) == 30


_SPENDER = """
import sys
from datetime import UTC, datetime
from broker.errors import BudgetError
from broker.jobs.ids import new_job_id
from broker.jobs.records import NewJob
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind
from broker.jobs.store import open_store

store = open_store(sys.argv[1])
rows = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)
spec = TuneSpec(provider="fake", model="m", train=rows)
try:
    for _ in range(100):
        store.add_jobs("paid", [NewJob(id=new_job_id(JobKind.TUNE), spec=spec, reserved_usd=0.7)])
except BudgetError:
    print("stopped")
"""


def test_a_budget_is_kept_by_processes_that_reserve_at_once(store: Store, store_url: str) -> None:
    from datetime import UTC, datetime

    store.add_experiment(Experiment(name="paid", created_at=datetime.now(UTC), budget_usd=20.0))
    command = [sys.executable, "-c", _SPENDER, store_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=100)[0] for process in processes] == ["stopped\n"] * 3
    assert len(store.jobs()) == 28
    assert store.spent("paid") == pytest.approx(19.6)
