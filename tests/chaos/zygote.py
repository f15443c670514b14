"""Runs scenarios: reads one, or one step of one, as JSON per line; writes a verdict or null as JSON per line.

Everything is imported once; each broker process is a fork, so that a thousand of them take minutes and not hours. The
server is a process of its own and outlives them all.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from broker.jobs.artifacts import Artifacts
from broker.jobs.ids import new_job_id
from broker.jobs.records import Experiment, NewJob
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State
from broker.jobs.store import open_store
from tests.chaos.broker_process import Death, live
from tests.chaos.scenarios import CREATE, NOT_MADE, Scenario

if TYPE_CHECKING:
    from collections.abc import Generator

    from broker.jobs.store.protocol import Store

ROOT = Path(__file__).parents[2]
GRACE_S = 0.7
_LIFE_S = 40.0


@dataclass
class Verdict:
    """What came of a scenario.

    Attributes:
        name: Of the scenario.
        duplicates: Jobs beyond one for an intent, and files beyond one for a content.
        lost: Jobs that did not end as they must, and jobs at the server that the store knows nothing of.
        parked: Jobs that ended as `lost`, with words for the person; allowed only where requests were lost.
        kills: Broker processes killed.
        seconds: Time taken.
        trouble: What was wrong.
    """

    name: str
    duplicates: int = 0
    lost: int = 0
    parked: int = 0
    kills: int = 0
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list[str])


class Bench:
    """One server, one store at a time, and the brokers on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(timeout=10)
        self.brokers: dict[int, int] = {}

    # --- a whole scenario ---------------------------------------------------------------------------------------------

    def run(self, scenario: Scenario) -> Verdict:
        """Run a scenario from its beginning to its end."""
        begun = time.monotonic()
        self.begin(scenario.name, scenario.habits)
        for rule in scenario.rules:
            self.fault(rule)
        for number in range(scenario.jobs):
            self.job(0 if scenario.same_data else number)
        for death in scenario.deaths:
            for broker in range(scenario.brokers):
                self.start(broker, death if broker == 0 else [])
            self._wait()
        verdict = self.finish(scenario.brokers)
        verdict.seconds = round(time.monotonic() - begun, 2)
        return verdict

    # --- or step by step ----------------------------------------------------------------------------------------------

    def begin(self, name: str, habits: dict[str, Any]) -> None:
        """Start with an empty server and an empty store."""
        self._made = tempfile.TemporaryDirectory()
        self.folder, self.verdict = Path(self._made.name), Verdict(name=name)
        self.rules: list[dict[str, Any]] = []
        self.http.post(f"{self.url}/_control/clear")
        self.http.post(f"{self.url}/_control/rules", json={"rules": [], "habits": habits})
        (self.folder / "data").mkdir()
        with self._store() as store:
            store.add_experiment(Experiment(name="chaos", created_at=datetime.now(UTC)))

    def fault(self, rule: dict[str, Any]) -> None:
        """Let something go wrong; calls are counted from now."""
        self.rules.append(rule)
        self.http.post(f"{self.url}/_control/fault", json=rule)

    def job(self, data: int) -> None:
        """Store a job that trains on the rows with this number."""
        spec = _spec(Artifacts(self.folder / "data" / "artifacts"), data)
        with self._store() as store:
            store.add_jobs("chaos", [NewJob(id=new_job_id(JobKind.TUNE), spec=spec)])

    def start(self, broker: int, death: list[Any]) -> None:
        """Start a broker, if it does not run; it dies as told."""
        self._reap()
        if broker not in self.brokers:
            self.brokers[broker] = _fork(self.folder, self._account(), _death(death))

    def kill(self, broker: int) -> None:
        """End a broker at once."""
        self._signal(broker, signal.SIGKILL)

    def freeze(self, broker: int) -> None:
        """Stop a broker in mid-step, as a sleeping laptop does."""
        self._signal(broker, signal.SIGSTOP)

    def thaw(self, broker: int) -> None:
        """Let it go on, as if nothing had happened."""
        self._signal(broker, signal.SIGCONT)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def finish(self, brokers: int = 1) -> Verdict:
        """Let every job come to rest with healthy brokers, and judge."""
        for broker in list(self.brokers):
            self._signal(broker, signal.SIGCONT)
        self._wait()
        for broker in range(brokers):
            self.start(broker, [])
        self._wait()
        self._judge()
        self._made.cleanup()
        return self.verdict

    # --- parts --------------------------------------------------------------------------------------------------------

    def _account(self) -> dict[str, Any]:
        options = {"timeout_s": 0.5, "tries": 8, "first_pause_s": 0.02}
        return {
            "kind": "openai", "base_url": f"{self.url}/v1", "api_key": "sk-chaos-000000000000", "grace_s": GRACE_S,
            "poll_s": 0.1, "options": options,
        }  # fmt: skip

    @contextmanager
    def _store(self) -> Generator[Store]:
        store = open_store(f"sqlite:///{self.folder / 'data' / 'broker.db'}")
        try:
            yield store
        finally:
            store.close()

    def _signal(self, broker: int, number: int) -> None:
        self._reap()
        if broker in self.brokers:
            os.kill(self.brokers[broker], number)

    def _reap(self) -> None:
        for broker, child in list(self.brokers.items()):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                del self.brokers[broker]
                self._note_end(status)

    def _wait(self) -> None:
        ends = time.monotonic() + _LIFE_S
        while self.brokers and time.monotonic() < ends:
            self._reap()
            time.sleep(0.01)
        for child in self.brokers.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            self.verdict.trouble.append(f"a broker did not come to rest within {_LIFE_S:g} s")
        self.brokers.clear()

    def _note_end(self, status: int) -> None:
        if os.WIFSIGNALED(status):
            self.verdict.kills += os.WTERMSIG(status) == signal.SIGKILL
        elif os.WEXITSTATUS(status):
            self.verdict.trouble.append("a broker ended with an error")

    def _judge(self) -> None:
        verdict = self.verdict
        ledger = self.http.get(f"{self.url}/_control/ledger").json()
        for kind in ("jobs_per_intent", "files_per_content"):
            verdict.duplicates += sum(count - 1 for count in ledger[kind].values())
        with self._store() as store:
            jobs = store.jobs()
        orphans = set(ledger["jobs"]) - {job.handle.id for job in jobs if job.handle is not None}
        # Only where the server swallowed a request, and has indeed no such job, may nobody know what became of it.
        swallowed = any(rule["fault"] in NOT_MADE and rule["call"] == CREATE for rule in self.rules)
        for job in jobs:
            told = job.failure is not None and "broker_intent" in job.failure.fix
            made = job.intent_key in ledger["jobs_per_intent"]
            if job.state is State.LOST and swallowed and told and not made:
                verdict.parked += 1
            elif job.state is not State.SUCCEEDED:
                verdict.lost += 1
                verdict.trouble.append(f"{job.id} is {job.state}: {job.failure}")
        verdict.lost += len(orphans)
        if verdict.duplicates or orphans:
            verdict.trouble.append(json.dumps({"ledger": ledger, "orphans": sorted(orphans)}))


def _spec(artifacts: Artifacts, number: int) -> TuneSpec:
    rows = [{"messages": [{"role": "user", "content": f"{number}"}, {"role": "assistant", "content": "a"}]}] * 12
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    sha256 = artifacts.put_bytes(content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    train = DatasetRef(
        sha256=sha256, name="t", format=RowFormat.CHAT, rows=12, bytes=len(content), tokens=99, longest_tokens=9
    )
    return TuneSpec(provider="openai", model="gpt-4o-mini-2024-07-18", train=train)


def _death(told: list[Any]) -> Death:
    if not told:
        return Death()
    return Death(after_s=told[0]) if isinstance(told[0], float) else Death(step=told[0], nth=told[1])


def _fork(folder: Path, account: dict[str, Any], death: Death) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        anyio.run(live, folder, account, death)
        code = 0
    except BaseException:  # the fork must never go on with its parent's work
        traceback.print_exc()
    finally:
        os._exit(code)


@contextmanager
def server() -> Generator[str]:
    """Run the server in a process of its own; yield its address."""
    with tempfile.TemporaryDirectory() as made:
        port_file = Path(made) / "port"
        process = subprocess.Popen([sys.executable, "-m", "tests.fakes.openai_server", str(port_file)], cwd=ROOT)
        try:
            while not port_file.exists():
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text()}"
        finally:
            process.kill()
            process.wait()


def main() -> None:
    for name in ("broker.providers.openai_tuning", "broker.scheduler"):
        import_module(name)  # forks inherit it
    with server() as url:
        bench = Bench(url)
        for line in sys.stdin:
            told = json.loads(line)
            found = getattr(bench, told.pop("do"))(**told) if "do" in told else bench.run(Scenario(**told))
            sys.stdout.write(json.dumps(asdict(found) if isinstance(found, Verdict) else None) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
