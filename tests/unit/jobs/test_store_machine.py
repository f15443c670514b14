"""The life of jobs against a simple model: any order of calls by two drivers, with leases that run out between."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from broker.errors import IllegalTransitionError, LeaseLostError
from broker.jobs.ids import new_intent_key, new_job_id
from broker.jobs.records import EventKind, Experiment, Handle, Intent, Lease, NewEvent, NewJob, Wish
from broker.jobs.spec import DatasetRef, EvaluateSpec, RowFormat, Spec, TuneSpec
from broker.jobs.states import RESTING, TERMINAL, JobKind, State, allowed
from broker.jobs.store import open_store
from broker.jobs.store.clock import Clock

ROWS = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)
LEASE_S = 10.0
_BAD = {State.FAILED, State.CANCELLED, State.LOST}


@cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_store(f"sqlite:///{folder}/broker.db").close()
        return (Path(folder) / "broker.db").read_bytes()


@dataclass
class Known:
    """What the model believes of a job."""

    kind: JobKind
    state: State = State.QUEUED
    wish: Wish | None = None
    needs: tuple[str, ...] = ()
    attempt: int = 1
    intents: int = 0
    events: int = 1
    holder: int | None = None
    until: float = 0.0
    seen: set[str] = field(default_factory=set)


class Machine(RuleBasedStateMachine):
    jobs: Bundle[str] = Bundle("jobs")
    leases: Bundle[Lease] = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.seconds = 1000.0
        clock = Clock(elapsed=lambda: self.seconds, boot=lambda: "boot")
        path = Path(self.folder.name) / "broker.db"
        path.write_bytes(_empty_store())
        url = f"sqlite:///{path}"
        self.stores = [open_store(url, clock=clock), open_store(url, clock=clock)]
        self.stores[0].add_experiment(Experiment(name="e", created_at=datetime.now(UTC)))
        self.known: dict[str, Known] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    # --- what the model says -----------------------------------------------------------------------------------------

    def wants(self, known: Known) -> bool:
        needed = [self.known[one].state for one in known.needs]
        ready = any(state in _BAD for state in needed) or all(state is State.SUCCEEDED for state in needed)
        active = known.state not in RESTING or known.wish is not None
        return active and (ready or known.wish in (Wish.CANCEL, Wish.PAUSE))

    def may(self, known: Known, to: State) -> bool:
        new_attempt = to is State.QUEUED and known.state in _BAD
        unwritten = to is State.SUBMITTING and known.intents < known.attempt
        return to in allowed(known.kind, known.state) and not new_attempt and not unwritten

    def holds(self, lease: Lease) -> bool:
        return self.known[lease.job_id].holder == lease.token

    def moved(self, known: Known, to: State) -> None:
        known.state = to
        known.events += 1
        fulfilled = {State.PAUSED: Wish.PAUSE, State.LOST: Wish.PAUSE, State.QUEUED: Wish.RESUME}
        fulfilled[State.RUNNING] = Wish.RESUME
        if to in TERMINAL or fulfilled.get(to) is known.wish:
            known.wish = None

    # --- what may happen ---------------------------------------------------------------------------------------------

    @rule(target=jobs, needs=st.lists(jobs, max_size=2, unique=True), tune=st.booleans())
    def add(self, needs: list[str], tune: bool) -> str:
        kind = JobKind.TUNE if tune else JobKind.EVALUATE
        spec: Spec = (
            TuneSpec(provider="fake", model="m", train=ROWS) if tune else EvaluateSpec(provider="f", validation=ROWS)
        )
        new = NewJob(id=new_job_id(kind), spec=spec, depends_on=tuple(needs))
        self.stores[0].add_jobs("e", [new])
        self.known[new.id] = Known(kind, needs=new.depends_on)
        return new.id

    @rule(target=leases, which=st.integers(0, 1), limit=st.integers(1, 3))
    def claim(self, which: int, limit: int) -> Any:
        expected = [
            job_id
            for job_id, known in self.known.items()
            if self.wants(known) and (known.holder is None or known.until <= self.seconds)
        ]
        claimed = self.stores[which].claim(f"owner-{which}", lease_s=LEASE_S, limit=limit)
        assert [job.id for job, _ in claimed] == expected[:limit]
        for known in self.known.values():  # a claim frees everything that has expired
            if known.until <= self.seconds:
                known.holder = None
        for job, lease in claimed:
            known = self.known[job.id]
            assert (job.state, job.wish, job.attempt) == (known.state, known.wish, known.attempt)
            known.holder, known.until = lease.token, self.seconds + LEASE_S
        return multiple(*(lease for _, lease in claimed))

    @rule(seconds=st.sampled_from([1.0, 4.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    @rule(which=st.integers(0, 1), some=st.lists(leases, max_size=3))
    def renew(self, which: int, some: list[Lease]) -> None:
        kept, lost = self.stores[which].renew(some, lease_s=LEASE_S)
        assert [one.token for one in kept] == [one.token for one in some if self.holds(one)]
        assert lost == [one for one in some if not self.holds(one)]
        for one in kept:
            self.known[one.job_id].until = self.seconds + LEASE_S

    @rule(which=st.integers(0, 1), lease=consumes(leases))
    def release(self, which: int, lease: Lease) -> None:
        self.stores[which].release([lease])
        if self.holds(lease):
            self.known[lease.job_id].holder = None

    @rule(which=st.integers(0, 1), lease=leases, to=st.sampled_from(sorted(State)))
    def transition(self, which: int, lease: Lease, to: State) -> None:
        known = self.known[lease.job_id]
        try:
            job = self.stores[which].transition(lease, to)
        except LeaseLostError:
            assert not self.holds(lease)
        except IllegalTransitionError:
            assert not self.may(known, to)
        else:
            assert self.holds(lease)
            assert self.may(known, to)
            self.moved(known, to)
            assert job == self.stores[1 - which].job(job.id)

    @rule(which=st.integers(0, 1), lease=leases)
    def submit(self, which: int, lease: Lease) -> None:
        known, store = self.known[lease.job_id], self.stores[which]
        if known.kind is not JobKind.TUNE:
            return
        spec = store.job(lease.job_id).spec
        assert isinstance(spec, TuneSpec)
        intent = Intent(
            key=new_intent_key(), job_id=lease.job_id, attempt=known.attempt, spec=spec, created_at=datetime.now(UTC)
        )
        fits = known.state is State.PREPARING and known.intents < known.attempt
        try:
            store.record_intent(lease, intent)
        except LeaseLostError:
            assert not self.holds(lease)
        except IllegalTransitionError:
            assert not fits
        else:
            assert fits
            assert self.holds(lease)
            known.intents += 1
            self.moved(known, State.SUBMITTING)
            store.record_handle(lease, Handle(provider="fake", id=intent.key))
            self.moved(known, State.RUNNING)

    @rule(job_id=jobs, wish=st.sampled_from([None, *Wish]))
    def wish(self, job_id: str, wish: Wish | None) -> None:
        known = self.known[job_id]
        self.stores[1].wish(job_id, wish)
        if known.state not in TERMINAL and known.wish is not wish:
            known.wish = wish
            known.events += 1

    @rule(job_id=jobs)
    def restart(self, job_id: str) -> None:
        known = self.known[job_id]
        try:
            self.stores[0].restart(job_id)
        except IllegalTransitionError:
            assert known.state not in _BAD
        else:
            assert known.state in _BAD
            known.attempt, known.wish, known.holder = known.attempt + 1, None, None
            known.intents = max(known.intents, known.attempt - 1)
            self.moved(known, State.QUEUED)

    @rule(job_id=jobs, to=st.sampled_from([State.RUNNING, State.FAILED, State.CANCELLED]))
    def settle(self, job_id: str, to: State) -> None:
        known = self.known[job_id]
        try:
            self.stores[0].settle(job_id, to, handle=Handle(provider="fake", id="found"))
        except IllegalTransitionError:
            assert known.state is not State.LOST
        else:
            assert known.state is State.LOST
            known.wish = known.holder = None
            self.moved(known, to)

    @rule(job_id=jobs, sources=st.lists(st.sampled_from("abc"), max_size=4))
    def progress(self, job_id: str, sources: list[str]) -> None:
        known = self.known[job_id]
        self.stores[0].append_events(
            [NewEvent(job_id=job_id, kind=EventKind.PROGRESS, data={}, source_id=one) for one in sources]
        )
        known.events += len(set(sources) - known.seen)
        known.seen |= set(sources)

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def the_store_agrees(self) -> None:
        found = {job.id: job for job in self.stores[1].jobs()}
        assert list(found) == list(self.known)
        events = [event.job_id for event in self.stores[0].events(limit=10**6)]
        for job_id, known in self.known.items():
            job = found[job_id]
            assert (job.state, job.wish, job.attempt) == (known.state, known.wish, known.attempt)
            assert (job.finished_at is not None) == (job.state in TERMINAL)
            assert events.count(job_id) == known.events


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
