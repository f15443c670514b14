"""The `gemini` provider: one account at the Gemini Developer API. It answers; it does not tune."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from broker.errors import Problem, RefusedError
from broker.gateway import Gate
from broker.providers.batching import BatchCompleter, Most
from broker.providers.contract import (
    Capabilities,
    Checkpoint,
    Completer,
    Estimate,
    ProviderContext,
    RemoteEvent,
    RemoteStatus,
    Verdict,
)
from broker.providers.gemini.answers import Readings
from broker.providers.gemini.batches import INLINE_BYTES, MOST_BYTES, MOST_ROWS, Batches
from broker.providers.gemini.completions import ContentCompleter, ScreenedCompleter
from broker.providers.gemini.connection import Connection
from broker.providers.gemini.families import Family
from broker.providers.gemini.faults import judge
from broker.providers.gemini.questions import THRESHOLDS, Questions
from broker.providers.limits import told_limits
from broker.providers.parameters import check_parameters
from broker.providers.prices import AnswerPrices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker.jobs.records import Handle, Intent
    from broker.jobs.spec import ModelRef, TuneSpec

KIND = "gemini"
_GRACE_S = 60.0
_POLL_S = 10.0
_BATCH_POLL_S = 20.0
# So long may an account say nothing but 429 before its rows are given back, seconds.
_LIMITED_S = 3600.0


def create(context: ProviderContext) -> GeminiProvider:
    """Build the provider of an account."""
    return GeminiProvider(context)


class GeminiProvider:
    """One account at the Gemini Developer API, or at a server that speaks its protocol."""

    def __init__(self, context: ProviderContext) -> None:
        """Read the account; nothing is opened yet.

        Args:
            context: What a provider is built with.
        """
        self._context = context
        self._options: Mapping[str, Any] = context.account.options
        self._connection = Connection(context.account, instead=self._instead)
        self._prices = AnswerPrices(
            catalog=context.catalog,
            kind=KIND,
            host=self._connection.host,
            paid=bool(self._options.get("paid", True)),
            batch=bool(self._options.get("batch", False)),
        )
        limited_s = float(self._options.get("limited_s", _LIMITED_S))
        self._answers = Gate(judge, told_limits(context.account), self._connection.patience(limited_s))

    @property
    def name(self) -> str:
        """Return the account's name."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        account = self._context.account
        return Capabilities(
            completer=True,
            default_model=account.model or self._context.catalog.default(KIND),
            grace_s=account.grace_s if account.grace_s is not None else float(self._options.get("grace_s", _GRACE_S)),
            paid=self._prices.paid,
            poll_s=account.poll_s if account.poll_s is not None else _POLL_S,
            concurrency=account.concurrency,
        )

    def pin(self, model: str) -> str:
        """Return the snapshot that a name stands for."""
        return self._context.catalog.pin(KIND, model.removeprefix("models/"))

    def check(self, spec: TuneSpec) -> list[Problem]:
        """Say that it does not tune."""
        return check_parameters(spec, self.capabilities)

    def check_model(self, model: ModelRef) -> list[Problem]:
        """Return what stands against asking a model: no key, a wrong option, or shut down (with its successors)."""
        gone = self._context.catalog.shutdown(KIND, model.name, _today())
        thinking = Family.of(model.name).problems(self._options, model=model.name, where=self._place)
        return [*self._credentials(), *self._filter(), *thinking, *([gone] if gone else [])]

    def estimate(self, spec: TuneSpec) -> Estimate:
        """Return an empty estimate: it does not tune."""
        del spec
        return Estimate(basis=("gemini does not tune",))

    def estimate_answers(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Return the cost of asking a model for so many tokens."""
        return self._prices.answering(model, input_tokens, output_tokens)

    def completer(self, model: ModelRef) -> Completer:
        """Return an object that asks a model, one by one or by batches (account option `batch`)."""
        family = Family.of(model.name)
        questions = Questions(family=family, thinking=family.thinking(self._options), safety=self._safety)
        live = ContentCompleter(
            connection=self._connection,
            gate=self._answers,
            questions=questions,
            readings=Readings(model=model.name, prices=self._prices),
            tasks=self._context.tasks,
            timeout_s=self._connection.answer_s,
        )
        return ScreenedCompleter(questions=questions, inner=self._batched(live) if self._prices.batch else live)

    def classify(self, error: BaseException) -> Verdict:
        """Read an exception."""
        return self._connection.reader.read(error)

    async def aclose(self) -> None:
        """Close the connections; batches go on at the account."""
        await self._connection.aclose()

    # --- tuning: not here -----------------------------------------------------------------------------------------

    async def prepare(self, intent: Intent) -> None:
        """Refuse: it does not tune."""
        raise self._no_tuner(intent.spec.provider)

    async def submit(self, intent: Intent) -> Handle:
        """Refuse: it does not tune."""
        raise self._no_tuner(intent.spec.provider)

    async def find(self, intent: Intent) -> Handle | None:
        """Return None: nothing was ever submitted."""
        del intent
        return None

    async def recall(self, handle: Handle) -> TuneSpec | None:
        """Return None: there are no jobs."""
        del handle
        return None

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        """Return nothing: there are no jobs."""
        del handles
        return {}

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        """Yield nothing: there are no jobs."""
        del handle, after
        none: list[RemoteEvent] = []
        for event in none:
            yield event

    async def checkpoints(self, handle: Handle) -> list[Checkpoint]:
        """Return none: there are no jobs."""
        del handle
        return []

    async def cancel(self, handle: Handle) -> None:
        """Refuse: there are no jobs."""
        raise self._no_tuner(handle.provider)

    async def pause(self, handle: Handle) -> None:
        """Refuse: there are no jobs."""
        raise self._no_tuner(handle.provider)

    async def resume(self, handle: Handle) -> None:
        """Refuse: there are no jobs."""
        raise self._no_tuner(handle.provider)

    # --- pieces ---------------------------------------------------------------------------------------------------

    def _batched(self, live: ContentCompleter) -> Completer:
        service = Batches(
            connection=self._connection,
            questions=live.questions,
            readings=live.readings,
            artifacts=self._context.artifacts,
            poll_s=float(self._options.get("batch_poll_s", _BATCH_POLL_S)),
            inline_bytes=int(self._options.get("batch_inline_bytes", INLINE_BYTES)),
            report=self._context.report,
        )
        return BatchCompleter.of(
            self._context,
            model=live.readings.model,
            service=service,
            live=live,
            grace_s=self.capabilities.grace_s,
            limits=Most(MOST_ROWS, MOST_BYTES),
        )

    def _instead(self, model: str) -> tuple[str, ...]:
        return self._context.catalog.alternatives(KIND, model, _today())

    def _credentials(self) -> list[Problem]:
        if self._connection.has_key or not self._connection.official:
            return []
        fix = "export GEMINI_API_KEY=… (https://aistudio.google.com/apikey), or name another service: gemini@URL"
        return [Problem(where="GEMINI_API_KEY", what="Gemini needs an API key and none is set", fix=fix)]

    @property
    def _place(self) -> str:
        return f"[providers.{self.name}.options]"

    @property
    def _safety(self) -> str:
        return str(self._options.get("safety") or "").upper()

    def _filter(self) -> list[Problem]:
        if self._safety in ("", *THRESHOLDS):
            return []
        what = f"safety = {self._options['safety']!r} is no threshold of the safety filter"
        return [Problem(where=self._place, what=what, fix=f"one of: {', '.join(THRESHOLDS)}")]

    def _no_tuner(self, account: str) -> RefusedError:
        return RefusedError(f"{account} answers but does not tune", fix="tune with another provider, such as local")


def _today() -> date:
    return datetime.now(UTC).date()
