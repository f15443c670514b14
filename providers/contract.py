"""The one interface of every provider, in two facets: it may *tune* and it may *answer*.

Life of a tuning job, as the scheduler lives it with a provider (DESIGN: never paying twice):

1. `check(spec)` and `estimate(spec)` before anything is sent; both are pure.
2. The scheduler stores an `Intent`, calls `prepare(intent)` (uploads; repeatable), counts the send, then calls
   `submit(intent)`, which creates and returns a `Handle`.
3. If the outcome is unknown (`OutcomeUnknownError`, a time-out, a crash), it calls `find(intent)` until the intent is
   older than `capabilities.grace_s`; only then may `submit` be called once more. A provider that cannot look up
   (`capabilities.findable` false) leaves the job `lost`.
4. `poll(handles)` asks for many jobs at once and has no side effects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anyio.abc import TaskGroup
from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.records import EventKind, Handle, Intent
from broker.jobs.spec import Method, ModelRef, ParameterValue, TuneSpec
from broker.providers.asking import Answer, Completer, CompletionRequest
from broker.settings import Account
from broker.worker.pool import WorkerPool

if TYPE_CHECKING:
    from broker.errors import Problem


# --- what a provider can do -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a tuning job.

    Attributes:
        name: As in `TuneSpec.parameters` and, with dashes, on the command line.
        types: What it accepts: `int`, `float`, `str`, `bool`, `list` (of words).
        default: Value when not given; `None` leaves it out.
        minimum: Smallest number.
        maximum: Largest number.
        exclusive_minimum: The smallest number itself is not allowed.
        choices: Words accepted, if only some are.
        auto: The word "auto" is accepted.
        help: One line, with the source of the default.
    """

    name: str
    types: tuple[str, ...]
    default: ParameterValue = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: tuple[str, ...] = ()
    auto: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do.

    Attributes:
        tuner: It tunes.
        completer: It answers.
        methods: Ways of tuning.
        parameters: What a job may set.
        default_model: Used when the person names none.
        findable: An earlier submit can be looked up by its intent.
        grace_s: How long a created job may stay invisible to `find`, seconds.
        pausable: Jobs can be paused and resumed.
        paid: It costs money: a person must confirm.
        remote: Its jobs go on when the broker stops.
        poll_s: Normal time between two polls, seconds.
        concurrency: Most jobs of this account in work at once; `None` is no limit.
        asking: Most evaluations of this account at once. Where they are made on this machine (`remote` is false),
            they never run beside a tuning job unless `concurrency` has room for both.
        min_rows: Fewest training rows.
        max_rows: Most training rows.
        max_bytes: Largest training file, bytes.
        max_row_tokens: Longest row; what is longer is truncated by the provider.
    """

    tuner: bool = False
    completer: bool = False
    methods: tuple[Method, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    default_model: str = ""
    findable: bool = True
    grace_s: float = 60.0
    pausable: bool = False
    paid: bool = False
    remote: bool = True
    poll_s: float = 5.0
    concurrency: int | None = None
    asking: int = 4
    min_rows: int = 1
    max_rows: int | None = None
    max_bytes: int | None = None
    max_row_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a piece of work will cost.

    Attributes:
        low_usd: At least.
        high_usd: At most; this is reserved.
        basis: The catalog rows and counts it was made from, one line each.
    """

    low_usd: float = 0.0
    high_usd: float = 0.0
    basis: tuple[str, ...] = ()


# --- what a provider says -------------------------------------------------------------------------------------------


class RemoteState(StrEnum):
    """A foreign status, translated by the provider's one table."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"  # stopped by accident; `resume(handle)` goes on from its last checkpoint
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """One job as its provider sees it.

    Attributes:
        state: Translated; `None` when the raw word is unknown (a failed look: the job's state stays).
        raw: The provider's own word.
        model: The tuned model, once there is one.
        error_code: Why it failed.
        error_message: Why it failed, for people.
        fix: What to do about it.
        trained_tokens: Tokens billed or trained.
        cost_usd: The actual cost, once known.
        result: Other numbers of the finished job (final loss, steps, seconds, tokens_per_s).
        started_at: When the provider began (UTC).
        finished_at: When the provider ended (UTC).
    """

    state: RemoteState | None
    raw: str
    model: ModelRef | None = None
    error_code: str = ""
    error_message: str = ""
    fix: str = ""
    trained_tokens: int | None = None
    cost_usd: float | None = None
    result: Mapping[str, Any] = field(default_factory=dict[str, Any])
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEvent:
    """Progress of one job. `id` is the provider's own (or a counter) and is never stored twice."""

    id: str
    kind: EventKind
    data: Mapping[str, Any]
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An intermediate model."""

    id: str
    step: int
    model: ModelRef
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


class Advice(StrEnum):
    """What to do after an exception."""

    RETRY = "retry"  # now, with back-off
    RETRY_AT = "retry_at"  # not before `after_s`
    UNKNOWN = "unknown"  # a creating call may have arrived: `find` settles it
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A provider's reading of an exception.

    Attributes:
        advice: What to do.
        code: A stable word for programs.
        message: For people, without secrets.
        fix: What to do about it.
        after_s: Seconds to wait, with `RETRY_AT`.
    """

    advice: Advice
    code: str
    message: str
    fix: str = ""
    after_s: float | None = None


# --- the provider ---------------------------------------------------------------------------------------------------


class UploadLedger(Protocol):
    """What an account already holds, by content hash. Awaitable face of the store's ledger."""

    async def get(self, sha256: str, purpose: str) -> str | None:
        """Return the remote id of content uploaded before."""
        ...

    async def put(self, sha256: str, purpose: str, remote_id: str) -> None:
        """Note an upload, before it is used."""

    async def forget(self, remote_id: str) -> None:
        """Note that a remote file is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderContext:
    """What a provider is built with.

    Attributes:
        name: The account's name (`local`, `openai`, or a person's own such as `nebius`).
        account: Its settings (kind, base URL, key, options).
        catalog: Models, prices, shutdown dates.
        artifacts: Content-addressed files: `artifacts.path(sha256)`.
        uploads: What the account already holds.
        data_dir: The broker's data folder; a provider keeps its own things under `data_dir / name`.
        cache_dir: What can be made again (the sandbox models).
        hf_token: Hugging Face token, for gated models.
        workers: The torch processes.
        tasks: Task group for background work; outlives the provider's calls, ends with the broker.
        report: Call with (text, done, total) to show progress of long steps (an upload, a download).
    """

    name: str
    account: Account
    catalog: Catalog
    artifacts: Artifacts
    uploads: UploadLedger
    data_dir: Path
    cache_dir: Path
    hf_token: SecretStr | None = None
    workers: WorkerPool
    tasks: TaskGroup
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None


class Provider(Protocol):
    """One remote, or the local machine. Built by its factory `(ProviderContext) -> Provider`, found by the registry."""

    @property
    def name(self) -> str:
        """Return the account's name."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Say what it can do. Pure."""
        ...

    def pin(self, model: str) -> str:
        """Return the exact snapshot that a model name stands for (`gpt-4o-mini` → `gpt-4o-mini-2024-07-18`). Pure."""
        ...

    def check(self, spec: TuneSpec) -> list[Problem]:
        """Return every problem of a spec at once, each with place, value and fix. No network."""
        ...

    def check_model(self, model: ModelRef) -> list[Problem]:
        """Return what stands against asking this model: shut down, no credentials, missing files. No network."""
        ...

    def estimate(self, spec: TuneSpec) -> Estimate:
        """Return the cost of a tuning job, with the price rows it used. Pure."""
        ...

    def estimate_answers(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Return the cost of asking a model for so many tokens. Pure."""
        ...

    async def prepare(self, intent: Intent) -> None:
        """Do what may be done again without harm: upload files (each content once), make folders, wait for processing.

        Called before the send is counted, so that a crash in a long upload never leaves a doubt about the job.
        """

    async def submit(self, intent: Intent) -> Handle:
        """Create the job with what `prepare` made ready, once.

        Raises:
            OutcomeUnknownError: Sent, but nobody knows whether it arrived.
            ProviderError: Certainly not created.
        """
        ...

    async def find(self, intent: Intent) -> Handle | None:
        """Return the handle of an earlier submit of this intent, or None when the provider lists no such job."""
        ...

    async def recall(self, handle: Handle) -> TuneSpec | None:
        """Return what a job that was made elsewhere was asked for, as far as the provider tells; None: no such job."""
        ...

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        """Return the statuses of many jobs by handle id; one that is missing was not found at the provider."""
        ...

    def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        """Yield events that came after the one with id `after`, oldest first, then end."""
        ...

    async def checkpoints(self, handle: Handle) -> list[Checkpoint]:
        """Return the intermediate models of a job."""
        ...

    async def cancel(self, handle: Handle) -> None:
        """Ask for the end of a job; `poll` confirms it."""

    async def pause(self, handle: Handle) -> None:
        """Ask for a pause; `poll` confirms it. Raises `RefusedError` when it cannot."""

    async def resume(self, handle: Handle) -> None:
        """Go on with a paused or interrupted job; does nothing when it runs. Raises `RefusedError` when it cannot."""

    def completer(self, model: ModelRef) -> Completer:
        """Return an object that asks this model."""
        ...

    def classify(self, error: BaseException) -> Verdict:
        """Read an exception of this provider's SDK. Pure."""
        ...

    async def aclose(self) -> None:
        """Release everything; local work stops at its next checkpoint and stays resumable."""


ProviderFactory = Callable[[ProviderContext], Provider]

__all__ = [
    "Advice",
    "Answer",
    "Capabilities",
    "Checkpoint",
    "Completer",
    "CompletionRequest",
    "Estimate",
    "Parameter",
    "Provider",
    "ProviderContext",
    "ProviderFactory",
    "RemoteEvent",
    "RemoteState",
    "RemoteStatus",
    "UploadLedger",
    "Verdict",
]
