"""The whole contract, on this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError, OutcomeUnknownError, Problem, RefusedError, UserError, WorkerError
from broker.jobs.blocking import blocking
from broker.jobs.records import EventKind, Handle, Intent
from broker.jobs.spec import Method, ModelRef, RowFormat, TuneSpec
from broker.providers.contract import (
    Advice,
    Capabilities,
    Checkpoint,
    Completer,
    Estimate,
    ProviderContext,
    RemoteEvent,
    RemoteState,
    RemoteStatus,
    Verdict,
)
from broker.providers.local.adapters import check_adapter
from broker.providers.local.completer import LocalCompleter
from broker.providers.local.gathering import Gathering
from broker.providers.local.models import Shelf, check_precision, missing_packages
from broker.providers.local.parameters import PARAMETERS
from broker.providers.local.runs import Runs
from broker.providers.local.writer import WriterCompleter, check_tuning, check_writer
from broker.providers.parameters import check_parameters, with_defaults
from broker.sandbox.writer import NAME as WRITER
from broker.worker.faults import fault
from broker.worker.training.options import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

STATUSES: Mapping[str, RemoteState] = {
    "queued": RemoteState.QUEUED,
    "running": RemoteState.RUNNING,
    "paused": RemoteState.PAUSED,
    "interrupted": RemoteState.INTERRUPTED,
    "succeeded": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "cancelled": RemoteState.CANCELLED,
}
_KINDS = {"progress": EventKind.PROGRESS, "checkpoint": EventKind.CHECKPOINT, "log": EventKind.LOG}
_HUB_FAULTS = {"gated", "model_not_found", "offline"}
_FEW_STEPS = 4
# Evaluations at once: those of one base are answered together.
_ASKING = 8
_FREE = Estimate(basis=("local: your own machine, 0 USD",))


def create(context: ProviderContext) -> LocalProvider:
    """Build the provider of this machine."""
    return LocalProvider(context)


class LocalProvider:
    """Trains and answers on this machine; a run is a folder, so it outlives the broker."""

    def __init__(self, context: ProviderContext) -> None:
        """Keep the context; nothing is loaded or started.

        Args:
            context: What a provider is built with.
        """
        self._context = context
        token = context.hf_token
        self._shelf = Shelf(context.catalog, context.cache_dir, bool(token and token.get_secret_value()))
        self.runs = Runs(context, self._shelf.resolve)
        self._gathering = Gathering(context, self._shelf.resolve, self._build)

    @property
    def name(self) -> str:
        """Return the account's name."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        return Capabilities(
            tuner=True,
            completer=True,
            methods=(Method.SFT, Method.DPO),
            parameters=PARAMETERS,
            default_model=self._context.catalog.default("local"),
            findable=True,
            grace_s=0.0,
            pausable=True,
            paid=False,
            remote=False,
            poll_s=0.5,
            concurrency=1,
            asking=_ASKING,
        )

    def pin(self, model: str) -> str:
        """Return the name itself, or the one that an alias stands for."""
        return self._context.catalog.pin("local", model)

    def check(self, spec: TuneSpec) -> list[Problem]:
        """Return what stands against a job on this machine."""
        if spec.model == WRITER:
            return check_tuning()
        problems = [*missing_packages(), *check_parameters(spec, self.capabilities)]
        values = with_defaults(spec, self.capabilities)
        problems += check_precision(values.get("precision"))
        problems += _check_rows(spec)
        targets = values.get("target_modules")
        names = (targets,) if isinstance(targets, str) else tuple(targets) if isinstance(targets, (tuple, list)) else ()
        problems += self._shelf.check(spec.model, today=_today(), targets=names)
        return problems or _check_steps(spec)

    def check_model(self, model: ModelRef) -> list[Problem]:
        """Return what stands against asking a model."""
        if model.name == WRITER:
            return check_writer(model)
        problems = [*missing_packages(), *check_precision(model.precision)]
        problems += self._shelf.check(model.name, today=_today())
        if model.adapter is not None:
            problems += check_adapter(Path(model.adapter), self._shelf.resolve(model.name))
        return problems

    def estimate(self, spec: TuneSpec) -> Estimate:
        """Cost nothing."""
        del spec
        return _FREE

    def estimate_answers(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Cost nothing."""
        del model, input_tokens, output_tokens
        return _FREE

    async def prepare(self, intent: Intent) -> None:
        """Build the sandbox model when the job wants it and it is not there yet."""
        await self._build(intent.spec.model)

    async def submit(self, intent: Intent) -> Handle:
        """Write the run's folder and put the run into the queue of the device."""
        return Handle(provider=self.name, id=await self.runs.create(intent))

    async def find(self, intent: Intent) -> Handle | None:
        """Return the run of an intent, when its folder is there."""
        found = self.runs.find(intent)
        return Handle(provider=self.name, id=found) if found else None

    async def recall(self, handle: Handle) -> TuneSpec | None:
        """Return what a run of this data folder was asked for; None when it has no such run."""
        return await blocking(self._recall, handle.id)

    def _recall(self, handle_id: str) -> TuneSpec | None:
        known = self.runs.folder(handle_id).root.is_dir()
        return self.runs.intent(handle_id).spec if known else None

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        """Read the statuses of runs."""
        return await blocking(self._statuses, [handle.id for handle in handles])

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        """Yield what a run has told, from its file."""
        for row in await blocking(self.runs.folder(handle.id).events, after):
            kind = _KINDS.get(row["kind"], EventKind.LOG)
            yield RemoteEvent(id=row["id"], kind=kind, data=row["data"], at=datetime.fromisoformat(row["at"]))

    async def checkpoints(self, handle: Handle) -> list[Checkpoint]:
        """Return the adapters saved on the way."""
        return await blocking(self._checkpoints, handle.id)

    async def cancel(self, handle: Handle) -> None:
        """Ask for the end of a run, whoever trains it."""
        await self.runs.stop(handle.id, "cancel")

    async def pause(self, handle: Handle) -> None:
        """Ask for a pause of a run, whoever trains it."""
        await self.runs.stop(handle.id, "pause")

    async def resume(self, handle: Handle) -> None:
        """Go on with a run from its last checkpoint."""
        await self.runs.resume(handle.id)

    def completer(self, model: ModelRef) -> Completer:
        """Return an object that asks a base, a base with an adapter, or the sandbox's writer."""
        if model.name == WRITER:
            return WriterCompleter()
        return LocalCompleter(model, self._gathering)

    def classify(self, error: BaseException) -> Verdict:
        """Read an exception: a process that died may be tried again, the rest is a person's to mend."""
        if isinstance(error, WorkerError):
            advice = Advice.RETRY if error.kind == "died" else Advice.NEVER
            return Verdict(advice=advice, code=error.kind, message=error.message, fix=error.fix)
        if isinstance(error, OutcomeUnknownError):
            return Verdict(advice=Advice.UNKNOWN, code="outcome_unknown", message=error.message, fix=error.fix)
        if isinstance(error, RefusedError):
            return Verdict(advice=Advice.NEVER, code="refused", message=error.message, fix=error.fix)
        if isinstance(error, BrokerError):
            code = "user" if isinstance(error, UserError) else "store"
            return Verdict(advice=Advice.NEVER, code=code, message=error.message, fix=error.fix)
        read = fault(error)
        return Verdict(advice=Advice.NEVER, code=read["kind"], message=read["message"], fix=read["fix"])

    async def aclose(self) -> None:
        """Stop the runs at their next step; they stay resumable."""
        self._gathering.aclose()
        await self.runs.aclose()

    async def _build(self, model: str) -> None:
        if not await blocking(self._shelf.needs_building, model):
            return
        from broker.sandbox.making import ensure_model

        report = self._context.report

        def tell(event: dict[str, Any]) -> None:
            if event["kind"] == "progress":
                report("building the sandbox model", int(event["step"]), int(event["total_steps"]))

        await ensure_model(self._context.cache_dir, self._context.workers, tell)

    def _statuses(self, ids: Sequence[str]) -> dict[str, RemoteStatus]:
        found: dict[str, RemoteStatus] = {}
        for handle_id in ids:
            try:
                found[handle_id] = self._status(handle_id, self.runs.state(handle_id))
            except FileNotFoundError:
                continue  # missing in the answer: not found
        return found

    def _status(self, handle_id: str, status: Mapping[str, Any]) -> RemoteStatus:
        raw = str(status["state"])
        error: dict[str, Any] = status.get("error") or {}
        result: dict[str, Any] = status.get("result") or {}
        spec = self.runs.intent(handle_id).spec
        adapter = str(self.runs.folder(handle_id).adapter)
        fix = str(error.get("fix", ""))
        if error.get("kind") in _HUB_FAULTS:
            fix = f"{fix}; {self._shelf.alternatives(spec.model, _today())}"
        return RemoteStatus(
            state=STATUSES.get(raw),
            raw=raw,
            model=self._tuned(spec, adapter) if raw == "succeeded" else None,
            error_code=str(error.get("kind", "")),
            error_message=str(error.get("message", "")),
            fix=fix,
            trained_tokens=result.get("trained_tokens"),
            cost_usd=0.0 if raw == "succeeded" else None,
            result={name: value for name, value in result.items() if name not in ("stopped", "adapter")},
            started_at=_time(status.get("started_at")),
            finished_at=_time(status.get("finished_at")),
        )

    def _tuned(self, spec: TuneSpec, adapter: str) -> ModelRef:
        precision = parse(spec.parameters).precision
        return ModelRef(provider=self.name, name=spec.model, adapter=adapter, precision=precision)

    def _checkpoints(self, handle_id: str) -> list[Checkpoint]:
        run = self.runs.folder(handle_id)
        spec = self.runs.intent(handle_id).spec
        return [
            Checkpoint(id=path.name, step=meta["step"], model=self._tuned(spec, str(path)), metrics=meta["metrics"])
            for path, meta in run.saved()
        ]


def _check_rows(spec: TuneSpec) -> list[Problem]:
    wanted = RowFormat.PREFERENCE if spec.method is Method.DPO else RowFormat.CHAT
    if spec.train.format is wanted:
        return []
    what = f"{spec.method} needs {wanted} rows; {spec.train.name} has {spec.train.format} rows"
    other = Method.SFT if spec.method is Method.DPO else Method.DPO
    return [Problem(where="--train", what=what, fix=f"give a file of {wanted} rows, or --method {other}")]


def _check_steps(spec: TuneSpec) -> list[Problem]:
    options = parse(spec.parameters)
    steps = options.epochs * -(-spec.train.rows // options.effective_batch)
    if steps >= _FEW_STEPS:
        return []
    what = f"{spec.train.rows} rows in batches of {options.effective_batch} make only {steps} step(s)"
    fix = "lower --batch-size or --grad-accum, or raise --epochs"
    return [Problem(where="--batch-size", what=what, fix=fix, severity="warning")]


def _today() -> Any:
    return datetime.now(UTC).date()


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
