"""The `openai` provider: the official SDK against OpenAI, Azure, Nebius, or our own server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import omit

from broker.errors import OutcomeUnknownError, Problem, RefusedError, UnavailableError
from broker.gateway import Gate
from broker.jobs.blocking import blocking
from broker.jobs.records import Handle, Intent
from broker.jobs.spec import DatasetRef, Method, ModelRef, TuneSpec
from broker.providers.batching import BatchCompleter, Most
from broker.providers.contract import (
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
from broker.providers.foreign_json import Item, entries
from broker.providers.limits import told_limits
from broker.providers.openai_tuning import checks, payloads, progress, readings
from broker.providers.openai_tuning.batches import MOST_BYTES, MOST_ROWS, Batches
from broker.providers.openai_tuning.completions import ChatCompleter
from broker.providers.openai_tuning.connection import Connection
from broker.providers.openai_tuning.faults import judge
from broker.providers.openai_tuning.listing import PAGE, created_at, newest_first, pages
from broker.providers.openai_tuning.looks import Looks
from broker.providers.openai_tuning.prices import Prices
from broker.providers.openai_tuning.questions import Questions
from broker.providers.openai_tuning.recalling import spec_of
from broker.providers.openai_tuning.statuses import JOB_STATES
from broker.providers.openai_tuning.uploads import UploadRules, Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from openai import AsyncOpenAI


_GRACE_S = 60.0
_POLL_S = 10.0
_ANSWER_S = 120.0
_BATCH_POLL_S = 20.0
# So long may an account say nothing but 429 before its rows are given back, seconds.
_LIMITED_S = 3600.0
# A listing is searched for an intent back to this long before it was written: clocks differ.
_CLOCKS_S = 2 * 86400.0


def create(context: ProviderContext) -> OpenAIProvider:
    """Build the provider of an account."""
    return OpenAIProvider(context)


class OpenAIProvider:
    """One account at a service that speaks OpenAI's fine-tuning protocol."""

    def __init__(self, context: ProviderContext) -> None:
        """Read the account; nothing is opened yet.

        Args:
            context: What a provider is built with.
        """
        self._context = context
        self._options: Mapping[str, Any] = context.account.options
        self._connection = Connection(context.account, closed=_announced(context))
        self._prices = Prices(context.catalog, self._connection, self._options)
        self._uploads = Uploads(
            connection=self._connection,
            ledger=context.uploads,
            rules=_upload_rules(self._options, self.capabilities.grace_s),
            report=context.report,
        )
        limited_s = float(self._options.get("limited_s", _LIMITED_S))
        self._answers = Gate(judge, told_limits(context.account), self._connection.patience(limited_s))
        self._looks = Looks(fetch=self._page, retrieve=self._retrieve)

    @property
    def name(self) -> str:
        """Return the account's name."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        account = self._context.account
        return Capabilities(
            tuner=True,
            completer=True,
            methods=(Method.SFT, Method.DPO),
            parameters=payloads.PARAMETERS,
            default_model=account.model or self._context.catalog.default(checks.KIND),
            findable=bool(self._options.get("findable", True)),
            grace_s=account.grace_s if account.grace_s is not None else float(self._options.get("grace_s", _GRACE_S)),
            pausable=True,
            paid=self._prices.paid,
            remote=True,
            poll_s=account.poll_s if account.poll_s is not None else _POLL_S,
            concurrency=account.concurrency,
            min_rows=int(self._options.get("min_rows", checks.MIN_ROWS)),
            max_bytes=int(self._options.get("max_bytes", checks.FILE_BYTES)),
        )

    @property
    def requests(self) -> int:
        """Return how many requests polling has made so far."""
        return self._looks.requests

    def pin(self, model: str) -> str:
        """Return the snapshot that a name stands for."""
        return self._context.catalog.pin(checks.KIND, model)

    def check(self, spec: TuneSpec) -> list[Problem]:
        """Return every problem of a job at once."""
        official = self._connection.official
        problems = checks.check_spec(spec, self.capabilities, self._context.catalog, official=official)
        return [*self._credentials(), *problems]

    def check_model(self, model: ModelRef) -> list[Problem]:
        """Return what stands against asking a model."""
        problems = self._credentials()
        if self._connection.official:
            gone = self._context.catalog.shutdown(checks.KIND, model.name, checks.today())
            problems += [gone] if gone else []
        return problems

    def estimate(self, spec: TuneSpec) -> Estimate:
        """Return the cost of a job, with the price row it used."""
        return self._prices.tuning(spec)

    def estimate_answers(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Return the cost of asking a model for so many tokens."""
        return self._prices.answers.answering(model, input_tokens, output_tokens)

    # --- the life of a job ----------------------------------------------------------------------------------------

    async def prepare(self, intent: Intent) -> None:
        """Upload the rows, each content once, and wait until they are processed."""
        await self._files(intent)

    async def submit(self, intent: Intent) -> Handle:
        """Create the job, once.

        Raises:
            OutcomeUnknownError: Sent, but nobody knows whether it arrived.
            ProviderError: Certainly not created.
        """
        train_id, validation_id = await self._files(intent)
        body = payloads.job_body(intent, train_id, validation_id)

        def call(client: AsyncOpenAI) -> Any:
            jobs = client.fine_tuning.jobs.with_raw_response
            return jobs.create(**body, extra_headers={"Idempotency-Key": intent.key})

        job = await self._connection.create(call, "fine_tuning.jobs.create")
        if not isinstance(job.get("id"), str) or not job["id"]:
            raise OutcomeUnknownError(
                f"{self._connection.host} answered without a job id", where="fine_tuning.jobs.create"
            )
        return Handle(provider=self.name, id=str(job["id"]))

    async def find(self, intent: Intent) -> Handle | None:
        """Return the handle of an earlier submit of this intent, by the metadata filter or by searching the listing."""
        try:
            found = await self._search(intent, {payloads.INTENT_KEY: intent.key})
        except RefusedError as error:
            if self.classify(error).code in {"unauthorized", "forbidden", "tuning_closed"}:
                raise
            found = None  # a server that does not like the filter
        # A filter that finds nothing proves nothing: it may be broken. Such searches are rare, so look twice.
        return found or await self._search(intent, None)

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        """Return the statuses of many jobs, by list pages where that costs fewer requests."""
        found, failed = await self._looks.look((handle.id for handle in handles), self._read)
        if failed and not found:
            raise next(iter(failed.values()))
        unseen = {job_id: readings.unseen(self.classify(error)) for job_id, error in failed.items()}
        return found | unseen

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        """Yield the events after the one with id `after`, oldest first."""

        async def fetch(cursor: str | None) -> Item:
            def call(client: AsyncOpenAI) -> Any:
                listing = client.fine_tuning.jobs.with_raw_response
                return listing.list_events(handle.id, limit=PAGE, after=cursor or omit)

            return await self._connection.read(call, "fine_tuning.jobs.events")

        found: list[Item] = []
        async for page in pages(fetch):
            found += page
            if after is not None and any(str(item["id"]) == after for item in page):
                break
        for item in readings.after(found, after):
            yield progress.remote_event(item)

    async def checkpoints(self, handle: Handle) -> list[Checkpoint]:
        """Return the intermediate models of a job, oldest first."""

        async def fetch(cursor: str | None) -> Item:
            def call(client: AsyncOpenAI) -> Any:
                listing = client.fine_tuning.jobs.checkpoints.with_raw_response
                return listing.list(handle.id, limit=PAGE, after=cursor or omit)

            return await self._connection.read(call, "fine_tuning.jobs.checkpoints")

        found = [progress.checkpoint(item, self.name) async for page in pages(fetch) for item in page]
        return sorted(found, key=lambda one: one.step)

    async def cancel(self, handle: Handle) -> None:
        """Ask for the end of a job; one that has ended already is left alone."""
        await self._ask(handle, "cancel")

    async def pause(self, handle: Handle) -> None:
        """Ask for a pause."""
        await self._ask(handle, "pause")

    async def resume(self, handle: Handle) -> None:
        """Go on with a paused job."""
        await self._ask(handle, "resume")

    async def recall(self, handle: Handle) -> TuneSpec | None:
        """Return what a job made elsewhere was asked for; None when the account has no such job."""
        job = await self.inspect(handle)
        return None if job is None else spec_of(job, self.name)

    async def inspect(self, handle: Handle) -> dict[str, Any] | None:
        """Return a job as the account shows it (base model, method, files, metadata), for taking over a foreign one."""
        return await self._retrieve(handle.id)

    async def fetch_results(self, handle: Handle) -> dict[str, str]:
        """Download the result files of a finished job.

        Returns:
            SHA-256 in the artifacts, by remote file id.
        """
        job = await self._retrieve(handle.id) or {}
        stored: dict[str, str] = {}
        for file_id in entries(job.get("result_files")):
            content = progress.result_content(await self._connection.content(str(file_id), "files"))
            stored[str(file_id)] = await blocking(self._context.artifacts.put_bytes, content)
        return stored

    def completer(self, model: ModelRef) -> Completer:
        """Return an object that asks a model, one by one or by the Batch API (account option `batch`)."""
        live = ChatCompleter(
            connection=self._connection,
            gate=self._answers,
            questions=Questions(model=model.name, prices=self._prices.answers, limit_field=self._limit_field()),
            tasks=self._context.tasks,
            timeout_s=float(self._options.get("answer_timeout_s", _ANSWER_S)),
        )
        return self._batched(live) if self._options.get("batch") else live

    def classify(self, error: BaseException) -> Verdict:
        """Read an exception."""
        return self._connection.reader.read(error)

    async def aclose(self) -> None:
        """Close the connections; remote jobs go on."""
        await self._connection.aclose()

    def _read(self, item: Item) -> RemoteStatus:
        censor = self._connection.reader.censor
        return readings.status(item, account=self.name, cost=self._prices.trained, censor=censor)

    # --- pieces ---------------------------------------------------------------------------------------------------

    async def _files(self, intent: Intent) -> tuple[str, str | None]:
        spec = intent.spec
        train_id = await self._file(spec.train)
        return train_id, await self._file(spec.validation) if spec.validation else None

    async def _file(self, data: DatasetRef) -> str:
        return await self._uploads.ensure(self._context.artifacts.path(data.sha256), data.sha256)

    async def _page(self, after: str | None, metadata: Mapping[str, str] | None = None) -> Item:
        def call(client: AsyncOpenAI) -> Any:
            listing = client.fine_tuning.jobs.with_raw_response
            return listing.list(limit=PAGE, after=after or omit, metadata=dict(metadata) if metadata else omit)

        found = await self._connection.read(call, "fine_tuning.jobs.list")
        if not isinstance(found.get("data"), list):
            raise UnavailableError(
                f"{self._connection.host} answered with no list of jobs", where="fine_tuning.jobs.list"
            )
        return found

    async def _search(self, intent: Intent, metadata: Mapping[str, str] | None) -> Handle | None:
        """Look through the listing for the intent's key, back to a time at which it cannot have been sent."""
        oldest = intent.created_at.timestamp() - _CLOCKS_S
        earlier: list[Item] | None = None
        async for page in pages(lambda after: self._page(after, metadata)):
            for item in page:
                # Read here, whatever the server filtered: some ignore the filter.
                if payloads.intent_of(item) == intent.key:
                    return Handle(provider=self.name, id=str(item["id"]))
            ordered = earlier is not None and newest_first(earlier, page)
            if ordered and max(map(created_at, page)) < oldest:
                return None
            earlier = page
        return None

    async def _retrieve(self, job_id: str) -> Item | None:
        try:
            job = await self._connection.read(
                lambda c: c.fine_tuning.jobs.with_raw_response.retrieve(job_id), "fine_tuning.jobs"
            )
        except RefusedError as error:
            if self.classify(error).code == "not_found":
                return None
            raise
        return job

    async def _ask(self, handle: Handle, what: str) -> None:
        def call(client: AsyncOpenAI) -> Any:
            return getattr(client.fine_tuning.jobs.with_raw_response, what)(handle.id)

        try:
            await self._connection.read(call, f"fine_tuning.jobs.{what}")
        except RefusedError:
            job = await self._retrieve(handle.id)
            state = JOB_STATES.get(str((job or {}).get("status")))
            if not _already(what, state):
                raise

    def _batched(self, live: ChatCompleter) -> Completer:
        service = Batches(
            connection=self._connection,
            questions=live.questions,
            uploads=self._uploads,
            artifacts=self._context.artifacts,
            poll_s=float(self._options.get("batch_poll_s", _BATCH_POLL_S)),
            report=self._context.report,
        )
        return BatchCompleter.of(
            self._context,
            model=live.questions.model,
            service=service,
            live=live,
            grace_s=self.capabilities.grace_s,
            limits=Most(MOST_ROWS, MOST_BYTES),
        )

    def _limit_field(self) -> str:
        usual = "max_completion_tokens" if self._connection.official else "max_tokens"
        return str(self._options.get("max_tokens_field", usual))

    def _credentials(self) -> list[Problem]:
        if self._connection.has_key or not self._connection.official:
            return []
        fix = "export OPENAI_API_KEY=…, or name another service (submit --base-url, or in broker.toml)"
        return [Problem(where="OPENAI_API_KEY", what="OpenAI needs an API key and none is set", fix=fix)]


def _announced(context: ProviderContext) -> str:
    said = context.catalog.announcements_for(checks.KIND, "tuning", checks.today())
    return "; ".join(problem.what for problem in said)


def _upload_rules(options: Mapping[str, Any], grace_s: float) -> UploadRules:
    usual = UploadRules()
    return UploadRules(
        grace_s=grace_s,
        single_bytes=int(options.get("single_bytes", usual.single_bytes)),
        part_bytes=int(options.get("part_bytes", usual.part_bytes)),
        processing_s=float(options.get("processing_s", usual.processing_s)),
    )


def _already(what: str, state: RemoteState | None) -> bool:
    """Say whether a wish is fulfilled though the server refused it."""
    ended = {RemoteState.SUCCEEDED, RemoteState.FAILED, RemoteState.CANCELLED}
    return (
        state
        in {"cancel": ended, "pause": {RemoteState.PAUSED}, "resume": {RemoteState.RUNNING, RemoteState.QUEUED}}[what]
    )
