"""What the store keeps: jobs, intents, handles, events. Frozen; a change makes a new value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from broker.jobs.spec import DatasetRef, Decoding, ModelRef, Spec, TuneSpec
from broker.jobs.states import RESTING, TERMINAL, JobKind, State


class Wish(StrEnum):
    """What a person asked for; whoever drives the job acts on it and clears it."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """What a provider gave back for a job.

    Attributes:
        provider: The account.
        id: The provider's own id (`ftjob-…`, or the name of a local run).
    """

    provider: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The durable record, written before a provider is called, of what will be asked of it.

    Attributes:
        key: Random, new for each attempt a person asks for; travels in the provider's metadata as `broker_intent`.
        job_id: The job it belongs to.
        attempt: Counted from 1.
        spec: What is asked.
        created_at: When it was written (UTC).
        sends: How many times the creating call went out and may have arrived.
        sent_at: When the last of them went out (UTC); the grace time counts from here.
    """

    key: str
    job_id: str
    attempt: int
    spec: TuneSpec
    created_at: datetime
    sends: int = 0
    sent_at: datetime | None = None


# Code of a synthesis whose sources gave fewer rows than were wanted.
EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed, or why the last look at it did.

    Attributes:
        code: A stable word for programs.
        message: For people, without secrets.
        fix: What to do about it.
        at: When (UTC).
    """

    code: str
    message: str
    fix: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One paid or long piece of work.

    Attributes:
        id: `tune-…`, `eval-…`, `synth-…`.
        kind: What it is for.
        experiment: Name of the experiment it belongs to.
        spec: What was asked.
        state: Where it is in its life.
        created_at: When it was asked for (UTC).
        updated_at: When its state last changed (UTC).
        label: Shown in tables; made from the spec when empty.
        attempt: Counted from 1.
        priority: Higher first.
        depends_on: Ids of jobs that must have succeeded before.
        intent_key: The present attempt's intent, once written.
        handle: The provider's id, once known.
        wish: What a person asked for and nobody has acted on yet.
        model: The model that a tuning job made, or that an evaluation asked.
        failure: Why it failed.
        look: Why the last look at it failed; cleared by a good look. Never changes the state.
        remote_status: The provider's raw word for its state.
        reserved_usd: Money reserved for it.
        cost_usd: What it did cost, once known.
        started_at: When the work began (UTC).
        finished_at: When it ended (UTC).
        result: Numbers of the finished job (loss, steps, tokens, seconds, scores).
    """

    id: str
    kind: JobKind
    experiment: str
    spec: Spec
    state: State
    created_at: datetime
    updated_at: datetime
    label: str = ""
    attempt: int = 1
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    intent_key: str | None = None
    handle: Handle | None = None
    wish: Wish | None = None
    model: ModelRef | None = None
    failure: Failure | None = None
    look: Failure | None = None
    remote_status: str | None = None
    reserved_usd: float = 0.0
    cost_usd: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def provider(self) -> str:
        """Return the account that does the work."""
        return self.spec.provider

    @property
    def terminal(self) -> bool:
        """Say whether the job has ended for good."""
        return self.state in TERMINAL

    @property
    def resting(self) -> bool:
        """Say whether nobody drives the job until a person says so."""
        return self.state in RESTING


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be stored; ids are given by the caller so that jobs can depend on each other.

    Attributes:
        id: From `new_job_id`.
        spec: What is asked.
        label: Shown in tables.
        depends_on: Ids of jobs that must succeed before.
        priority: Higher first.
        reserved_usd: Money to reserve (the high end of the estimate).
        handle: The provider's id of a job that was made elsewhere; such a job begins as `running`.
    """

    id: str
    spec: Spec
    label: str = ""
    depends_on: tuple[str, ...] = ()
    priority: int = 0
    reserved_usd: float = 0.0
    handle: Handle | None = None


class EventKind(StrEnum):
    """What an event tells."""

    STATE = "state"
    PROGRESS = "progress"
    LOG = "log"
    CHECKPOINT = "checkpoint"
    WISH = "wish"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """Something that happened to a job.

    Attributes:
        job_id: The job.
        kind: What it tells.
        data: Its content. `state`: from, to. `progress`: step, total_steps, loss, learning_rate, tokens_per_s, rows,
            total_rows. `log`: level, message. `checkpoint`: step, model.
        at: When it happened (UTC); the store's time when not given.
        source_id: The provider's id of the event: the same one is stored once only.
    """

    job_id: str
    kind: EventKind
    data: Mapping[str, Any]
    at: datetime | None = None
    source_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A stored event. `seq` grows over the whole store: a reader asks for what came after the last one it saw."""

    seq: int
    job_id: str
    kind: EventKind
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to drive a job. A stale token's writes change nothing."""

    job_id: str
    owner: str
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A claimed job that its provider works on, in the few words that following it needs.

    Attributes:
        lease: The right to drive it.
        handle: The provider's own id.
        state: Where it is in its life.
        remote_status: The provider's last raw word.
        troubled: The last look at it failed.
        wish: What a person asked for and nobody has acted on yet.
    """

    lease: Lease
    handle: Handle
    state: State
    remote_status: str | None = None
    troubled: bool = False
    wish: Wish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedRows:
    """Rows that tuning jobs were given, once for each different set.

    Attributes:
        data: The set, as the first of the jobs names it.
        watched: They are the jobs' own validation rows, whose loss was looked at, and not what was trained on.
        job_id: The first of the jobs.
        experiment: Of that job.
        jobs: How many jobs there are.
    """

    data: DatasetRef
    watched: bool
    job_id: str
    experiment: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """What an experiment spends beside its jobs.

    Attributes:
        name: For what; unique in the experiment.
        at: When it was last written (UTC).
        reserved_usd: The most that it will cost, while that is not known.
        cost_usd: What it cost; `None` while it goes on, and after a kill until it is taken up again.
    """

    name: str
    at: datetime
    reserved_usd: float = 0.0
    cost_usd: float | None = None

    @property
    def usd(self) -> float:
        """Return what counts against the budget."""
        return self.reserved_usd if self.cost_usd is None else self.cost_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Jobs, base models, one validation set and metrics: what a results table shows.

    Attributes:
        name: Unique in the store.
        created_at: When (UTC).
        validation_sha256: The frozen set.
        budget_usd: Most that may be reserved and spent together; `None` is no limit.
        decoding: How answers are drawn.
        notes: Anything a table must state (an allowed overlap, the encoder).
    """

    name: str
    created_at: datetime
    validation_sha256: str | None = None
    budget_usd: float | None = None
    decoding: Decoding = field(default_factory=Decoding)
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
