"""Random faults, deaths, wishes and brokers side by side: never two jobs for an intent, and none lost.

`BROKER_TEST_CHAOS=200` tries so many histories instead of a few.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.jobs.artifacts import Artifacts
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_job_id
from broker.jobs.records import Experiment, NewJob, Wish
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State
from broker.providers import registry
from broker.providers.fake import FakeRemote
from tests.fakes import scripted
from tests.fakes.mortal import Fate, World

if TYPE_CHECKING:
    from broker.jobs.records import Job

UNKNOWN = ("lost", "vanished")
# Looks for an unlisted job go on for the grace time; the remote shows a job at the second listing.
OPTIONS = {"steps": 3, "poll_s": 0.02, "grace_s": 0.05, "list_lag": 1}
LIVES = st.builds(Fate, left=st.one_of(st.just(-1), st.integers(1, 40)), done=st.booleans())


class Chaos(RuleBasedStateMachine):
    """People, brokers and a remote. The remote's ledger is the judge."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "fake": scripted.KIND})
        self.world = World(Path(tempfile.mkdtemp()), OPTIONS)
        self.store = self.world.store()
        self.store.add_experiment(Experiment(name="chaos", created_at=datetime.now(UTC)))
        rows = b'{"messages": []}\n'
        sha256 = Artifacts(self.world.folder / "artifacts").put_bytes(rows)
        train = DatasetRef(
            sha256=sha256, name="rows", format=RowFormat.CHAT, rows=1, bytes=len(rows), tokens=1, longest_tokens=1
        )
        self.spec = TuneSpec(provider="fake", model="base", train=train)
        self.doubts = 0
        self.wished = False

    @rule(count=st.integers(1, 4))
    def submit(self, count: int) -> None:
        new = [NewJob(id=new_job_id(JobKind.TUNE), spec=self.spec) for _ in range(count)]
        self.store.add_jobs("chaos", new)

    @rule(faults=st.lists(st.sampled_from(["ok", "unsent", "lost", "vanished"]), max_size=4))
    def fail(self, faults: list[str]) -> None:
        self.world.faults += faults
        self.doubts += sum(fault in UNKNOWN for fault in faults)

    @precondition(lambda self: self.jobs())
    @rule(which=st.integers(0, 99), wish=st.sampled_from(list(Wish)))
    def wish(self, which: int, wish: Wish) -> None:
        found = self.jobs()
        self.store.wish(found[which % len(found)].id, wish)
        self.wished = True

    @precondition(lambda self: self.jobs())
    @rule(fates=st.lists(LIVES, min_size=1, max_size=2), seconds=st.floats(0.02, 0.3))
    def live(self, fates: list[Fate], seconds: float) -> None:
        self.world.run([Fate(left=fate.left, done=fate.done) for fate in fates], self._rest, seconds)

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        if hasattr(self, "world"):
            assert max(self.ledger().jobs_per_intent().values(), default=0) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._end_well()
        finally:
            self.patch.undo()
            self.store.close()
            shutil.rmtree(self.world.folder)

    def jobs(self) -> list[Job]:
        return self.store.jobs()

    def ledger(self) -> FakeRemote:
        remote = FakeRemote(path=self.world.folder / "fake" / "ledger.jsonl")
        remote.close()
        return remote

    async def _rest(self) -> bool:
        found: list[Job] = await blocking(self.store.jobs)
        return all(job.resting and job.wish is None for job in found)

    def _end_well(self) -> None:
        """A last broker has all the time it needs; then everything is where it belongs."""
        self.world.faults.clear()
        self.world.run([Fate()], self._rest, 30.0)
        made = {job.key: job for job in self.ledger().jobs.values()}
        assert max(self.ledger().jobs_per_intent().values(), default=0) <= 1
        for job in self.jobs():
            assert job.resting, (job.state, job.wish, job.look)
            self._judge(job, made.get(job.intent_key or ""))

    def _judge(self, job: Job, remote: object) -> None:
        if not self.wished:
            assert job.state is State.SUCCEEDED or (job.state is State.LOST and self.doubts >= 2), job
        if job.state is State.SUCCEEDED:
            assert remote is not None
        if job.state is State.CANCELLED and remote is not None:
            assert getattr(remote, "wanted", None) == "cancel", "nobody wants it, and it goes on"
        if job.state is State.PAUSED and remote is not None:
            assert job.handle is not None


TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=int(os.environ.get("BROKER_TEST_CHAOS", "12")),
    stateful_step_count=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a history takes a second: making it shorter would take an hour
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
