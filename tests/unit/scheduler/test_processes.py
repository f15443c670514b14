"""Real processes on one store: stopped past their leases, or killed. The fake's ledger says what was made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from broker.api import ExperimentRequest, TuneRequest
from broker.jobs.states import State
from broker.scheduler.owners import is_dead, new_owner
from tests.fakes import broker_process
from tests.unit.scheduler.conftest import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.providers.fake import FakeRemote
    from tests.unit.scheduler.conftest import Opener

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
JOBS = 200
LONG_LEASE_S = 600.0


def start(data: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, broker_process.__file__, str(data), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)


async def ended(process: subprocess.Popen[bytes]) -> int:
    _, errors = await anyio.to_thread.run_sync(process.communicate)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()[-2000:]
    return process.returncode


async def stopped(pid: int) -> None:
    stat = anyio.Path(f"/proc/{pid}/stat")

    async def is_stopped() -> bool:
        return (await stat.read_text()).rpartition(")")[2].split()[0] == "T"

    await until(is_stopped, 60)


async def queue(open_broker: Opener, rows: dict[str, Path], count: int) -> None:
    async with open_broker(drive=False) as broker:
        tunings = tuple(TuneRequest(provider="fake", train=str(rows["train"]), seed=seed) for seed in range(count))
        await broker.start(await broker.plan(ExperimentRequest(name="all", tunings=tunings)))


async def test_a_broker_that_wakes_after_its_lease_sends_nothing_twice(
    open_broker: Opener, rows: dict[str, Path], ledger: Callable[[], FakeRemote], tmp_path: Path
) -> None:
    await queue(open_broker, rows, JOBS)
    sleeper = start(tmp_path / "data", 1.0, 0.3, "record_send:40:SIGSTOP")
    await stopped(sleeper.pid)
    other = start(tmp_path / "data", 1.0, 0.3)

    async def half_is_made() -> bool:
        return len(ledger().jobs) >= JOBS / 2

    await until(half_is_made, 90)
    sleeper.send_signal(signal.SIGCONT)
    assert [await ended(other), await ended(sleeper)] == [0, 0]
    async with open_broker(drive=False) as broker:
        assert await broker.count() == {State.SUCCEEDED: JOBS}
    assert len(ledger().jobs) == JOBS
    assert set(ledger().jobs_per_intent().values()) == {1}


@pytest.mark.parametrize(
    "moment", ["claim:1", "record_intent:2", "record_send:1", "record_send:3", "record_handle:2", "transition:5"]
)
async def test_a_killed_broker_is_followed_at_once_by_the_next_one(
    open_broker: Opener, rows: dict[str, Path], ledger: Callable[[], FakeRemote], tmp_path: Path, moment: str
) -> None:
    await queue(open_broker, rows, 3)
    assert await ended(start(tmp_path / "data", LONG_LEASE_S, 0.1, f"{moment}:SIGKILL")) == -signal.SIGKILL
    begun = time.monotonic()
    async with open_broker(settings={"lease_s": LONG_LEASE_S}, grace_s=0.1) as broker:
        done = await broker.wait(experiment="all")
    assert time.monotonic() - begun < LONG_LEASE_S / 6, "the leases of the dead are taken back, not waited for"
    assert {job.state for job in done} == {State.SUCCEEDED}
    assert list(ledger().jobs_per_intent().values()) == [1, 1, 1]


def test_only_what_certainly_is_dead_is_called_dead() -> None:
    mine = new_owner()
    who, _, place = mine.rpartition("@")
    host, pid, begun, word = who.rsplit(":", 3)
    assert not is_dead(mine)
    assert is_dead(f"{host}:{pid}:{int(begun) - 1}:{word}@{place}"), "the number was given anew"
    assert not is_dead(f"{host}:{pid}:1:{word}@elsewhere")
    assert not is_dead("somebody")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start_of = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    name = f"{host}:{child.pid}:{start_of}:{word}@{place}"
    assert not is_dead(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(name), "a zombie drives nothing"
    child.communicate()
    assert is_dead(name)
