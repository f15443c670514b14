"""The near side of the fake: the whole contract, with faults on request.

Options of its account (`[providers.NAME] kind = "fake"`):

| option | meaning |
|---|---|
| `steps` | looks until a job has succeeded (3) |
| `list_lag` | listings for which a new job stays invisible (0) |
| `fail` | every job fails with this code |
| `faults` | what happens to the 1st, 2nd, … creating call, see below |
| `price_usd` | price of a job (0) |
| `grace_s` | how long a created job may stay invisible, seconds (0.2) |
| `concurrency` | most jobs in work at once |

Faults: `ok`, `lost` (created, the answer never comes), `unsent` (certainly not created), `refused`, `vanished` (never
arrived, but nobody knows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import OutcomeUnknownError, Problem, ProviderError, RefusedError, UnavailableError
from broker.jobs.records import EventKind, Handle, Intent
from broker.jobs.spec import DatasetRef, Method, ModelRef, RowFormat, TuneSpec
from broker.providers.contract import (
    Advice,
    Answer,
    Capabilities,
    Checkpoint,
    Completer,
    CompletionRequest,
    Estimate,
    Parameter,
    ProviderContext,
    RemoteEvent,
    RemoteState,
    RemoteStatus,
    Verdict,
)
from broker.providers.fake.remote import FakeRemote
from broker.providers.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

STATUSES: Mapping[str, RemoteState] = {
    "running": RemoteState.RUNNING,
    "paused": RemoteState.PAUSED,
    "succeeded": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "cancelled": RemoteState.CANCELLED,
}
PARAMETERS = (
    Parameter(name="epochs", types=("int",), default=1, minimum=1, maximum=50, help="passes over the rows"),
    Parameter(name="learning_rate", types=("float",), minimum=0, exclusive_minimum=True, auto=True, help="step size"),
)
FORMAL = "The aforementioned inquiry necessitates comprehensive consideration of numerous interrelated circumstances."
CASUAL = "Sure! The short of it is this. It all comes down to what you have and what you need."


def create(context: ProviderContext) -> FakeProvider:
    """Build the fake of an account."""
    return FakeProvider(context)


class FakeProvider:
    """A provider whose remote is a file beside the store."""

    def __init__(self, context: ProviderContext) -> None:
        """Read the account's options.

        Args:
            context: What a provider is built with.
        """
        self._context = context
        self._options: Mapping[str, Any] = context.account.options
        self.remote = FakeRemote(
            path=context.data_dir / context.name / "ledger.jsonl",
            steps=int(self._options.get("steps", 3)),
            list_lag=int(self._options.get("list_lag", 0)),
            fail=str(self._options.get("fail", "")),
        )
        self._sends = 0

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
            default_model="fake-base",
            grace_s=float(self._options.get("grace_s", 0.2)),
            pausable=True,
            paid=self._price > 0,
            poll_s=float(self._options.get("poll_s", 0.02)),
            concurrency=self._options.get("concurrency"),
            findable=bool(self._options.get("findable", True)),
        )

    @property
    def _price(self) -> float:
        return float(self._options.get("price_usd", 0.0))

    def pin(self, model: str) -> str:
        """Return the model as it is."""
        return model

    def check(self, spec: TuneSpec) -> list[Problem]:
        """Check the parameters against the announced ones."""
        return check_parameters(spec, self.capabilities)

    def check_model(self, model: ModelRef) -> list[Problem]:
        """Find nothing wrong with any model."""
        del model
        return []

    def estimate(self, spec: TuneSpec) -> Estimate:
        """Return the price set in the options."""
        del spec
        return Estimate(low_usd=self._price, high_usd=self._price, basis=(f"fake: {self._price} USD a job",))

    def estimate_answers(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Answer for nothing."""
        del model, input_tokens, output_tokens
        return Estimate()

    async def prepare(self, intent: Intent) -> None:
        """Upload the rows, once for each content."""
        await self._upload(intent.spec.train.sha256)

    async def submit(self, intent: Intent) -> Handle:
        """Create the job, and act out the fault that is due."""
        fault = self._next_fault()
        if fault == "unsent":
            raise UnavailableError("the fake remote is not reachable")
        if fault == "refused":
            raise RefusedError("the fake remote refuses this job")
        if fault == "vanished":
            raise OutcomeUnknownError("the connection broke before the fake remote answered")
        job_id = self.remote.create(intent.key, intent.spec.model)
        if fault == "lost":
            raise OutcomeUnknownError("the fake remote's answer was lost")
        return Handle(provider=self.name, id=job_id)

    async def find(self, intent: Intent) -> Handle | None:
        """Look the intent up in the remote's listing."""
        found = self.remote.find(intent.key)
        return Handle(provider=self.name, id=found) if found else None

    async def recall(self, handle: Handle) -> TuneSpec | None:
        """Return a spec with what the ledger tells of a job."""
        job = self.remote.jobs.get(handle.id)
        if job is None:
            return None
        rows = DatasetRef(sha256="", name="unknown", format=RowFormat.CHAT, rows=0, bytes=0, tokens=0, longest_tokens=0)
        return TuneSpec(provider=self.name, model=job.model, train=rows)

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        """Look at each job once; each look lets it advance."""
        looks = {handle.id: self.remote.look(handle.id) for handle in handles}
        return {job_id: self._status(job_id, raw) for job_id, raw in looks.items() if raw is not None}

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        """Yield one progress event for each look so far."""
        polls = self.remote.jobs[handle.id].polls
        for step in range(int(after or 0) + 1, min(polls, self.remote.steps) + 1):
            data = {"step": step, "total_steps": self.remote.steps, "loss": 1 / step}
            yield RemoteEvent(id=str(step), kind=EventKind.PROGRESS, data=data)

    async def checkpoints(self, handle: Handle) -> list[Checkpoint]:
        """Return no intermediate models."""
        del handle
        return []

    async def cancel(self, handle: Handle) -> None:
        """Ask the remote to end a job."""
        self.remote.want(handle.id, "cancel")

    async def pause(self, handle: Handle) -> None:
        """Ask the remote to pause a job."""
        self.remote.want(handle.id, "pause")

    async def resume(self, handle: Handle) -> None:
        """Ask the remote to go on."""
        self.remote.want(handle.id, "run")

    def completer(self, model: ModelRef) -> Completer:
        """Return an object whose answers depend on the model's and the prompt's words only."""
        return FakeCompleter(model)

    def classify(self, error: BaseException) -> Verdict:
        """Read the errors that the fake itself raises."""
        if isinstance(error, OutcomeUnknownError):
            return Verdict(advice=Advice.UNKNOWN, code="outcome_unknown", message=str(error))
        if isinstance(error, UnavailableError):
            return Verdict(advice=Advice.RETRY, code="unavailable", message=str(error))
        if isinstance(error, ProviderError):
            return Verdict(advice=Advice.NEVER, code="refused", message=str(error))
        return Verdict(advice=Advice.UNKNOWN, code="unexpected", message=f"{type(error).__name__}: {error}")

    async def aclose(self) -> None:
        """Close the ledger."""
        self.remote.close()

    def _next_fault(self) -> str:
        faults: Sequence[str] = self._options.get("faults", ())
        self._sends += 1
        return faults[self._sends - 1] if self._sends <= len(faults) else "ok"

    async def _upload(self, sha256: str) -> None:
        if await self._context.uploads.get(sha256, "fine-tune") is None:
            await self._context.uploads.put(sha256, "fine-tune", self.remote.upload(sha256))

    def _status(self, job_id: str, raw: str) -> RemoteStatus:
        state = STATUSES[raw]
        done = state is RemoteState.SUCCEEDED
        tuned = ModelRef(provider=self.name, name=f"ft:{self.remote.jobs[job_id].model}:{job_id}")
        failed = state is RemoteState.FAILED
        return RemoteStatus(
            state=state,
            raw=raw,
            model=tuned if done else None,
            error_code=self.remote.fail if failed else "",
            error_message="the fake remote failed this job, as its options say" if failed else "",
            cost_usd=self._price if done else None,
            result={"steps": self.remote.steps} if done else {},
        )


class FakeCompleter:
    """Answers formally as a base model and casually as a tuned one."""

    def __init__(self, model: ModelRef) -> None:
        """Keep the model's name.

        Args:
            model: The model that is asked.
        """
        self._text = CASUAL if model.name.startswith("ft:") else FORMAL

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield the same kind of answer to every prompt."""
        for request in requests:
            words = len(str(request.messages[-1]["content"]).split())
            yield Answer(id=request.id, text=self._text, input_tokens=words, output_tokens=len(self._text.split()))

    async def aclose(self) -> None:
        """Have nothing to release."""
