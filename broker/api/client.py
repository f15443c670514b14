"""`Broker`: everything that a person can do, in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from broker.api.control import Control
from broker.api.engine import Engine, Report, silent
from broker.api.following import Watcher
from broker.api.models import export_model, find_model, question
from broker.api.offline import SANDBOX, OfflineModels
from broker.api.planning import Plan, Planner
from broker.api.recipe import Recipe, load_recipe
from broker.api.request import ExperimentRequest, one_job
from broker.api.table import read_table
from broker.errors import BrokerError, UnknownNameError
from broker.jobs.blocking import blocking
from broker.jobs.records import Event, Experiment, Handle, Job, Wish
from broker.jobs.spec import Decoding, Method, ModelRef, ParameterValue
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from types import TracebackType

    from broker.jobs.store.protocol import Store
    from broker.providers.contract import Answer, Completer, CompletionRequest
    from broker.results import ResultsTable
    from broker.settings import Settings


class Broker:
    """The broker, as an async context manager.

    ```python
    async with Broker() as broker:
        job = await broker.submit(provider="local", model="sandbox", train="train.jsonl", validation="val.jsonl")
        async for event in broker.watch(job):
            print(event.data)
        print(await broker.results())
    ```

    While it is open with `drive=True`, it drives every unfinished job of its store, also those of an earlier process.
    When it closes, remote jobs go on at their provider, local ones stop at a checkpoint, and the next `Broker` goes on
    with both.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        drive: bool = True,
        report: Report = silent,
        **overrides: Any,
    ) -> None:
        """Choose the settings; nothing is opened yet.

        Args:
            settings: All settings; loaded from flags, environment and `broker.toml` when None.
            drive: Drive jobs. With False it only reads and writes the store.
            report: Receives (text, done, total) of long steps such as uploads.
            overrides: Settings by name, stronger than every other source.
        """
        self._given = settings
        self._overrides = overrides
        self._drive = drive
        self._report = report
        self._watcher = Watcher()

    # --- opening and closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the store and, with `drive`, begin to drive."""
        self.settings: Settings = self._given or _load(self._overrides)
        self._engine = Engine(self.settings, report=self._report, changed=self._watcher.poke)
        await self._engine.open(drive=self._drive)
        self._store: Store = self._engine.store
        self.data_dir: Path = self.settings.data_dir
        self.catalog, self.accounts, self.workers = self._engine.catalog, self._engine.accounts, self._engine.workers
        self._planner = Planner(
            settings=self.settings, store=self._store, artifacts=self._engine.artifacts, accounts=self.accounts
        )
        self._control = Control(self._store, self.accounts, self._engine.poke)
        self.offline = OfflineModels(self.settings.cache_dir, self.workers, self._report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop driving, let local work reach a checkpoint, give the leases back."""
        return await self._engine.close(kind, error, trace)

    # --- submitting -------------------------------------------------------------------------------------------------

    async def plan(self, request: ExperimentRequest) -> Plan:
        """Read, check and price a request; store and send nothing.

        Args:
            request: What is wanted.

        Raises:
            DataError: Bad rows, with file and line.
            SpecError: Every other problem, all at once.
        """
        return await self._planner.plan(request)

    async def start(self, plan: Plan) -> list[Job]:
        """Store the jobs of a plan, all or none, with their money reserved.

        Args:
            plan: From `plan`.

        Returns:
            The new jobs and those reused, tuning jobs first.

        Raises:
            BudgetError: The reservations would pass the budget.
        """
        await self.offline.make_for(planned.job.spec for planned in plan.jobs)
        await blocking(self._store.add_experiment, plan.experiment)
        if plan.experiment.budget_usd is not None:
            await blocking(self._store.set_budget, plan.experiment.name, plan.experiment.budget_usd)
        for account in {planned.job.spec.provider for planned in plan.jobs}:
            await self._engine.note_account(account)
        jobs = await blocking(self._store.add_jobs, plan.experiment.name, [planned.job for planned in plan.jobs])
        self._engine.poke()
        return sorted([*plan.reused, *jobs], key=lambda job: job.kind is not JobKind.TUNE)

    async def submit(
        self,
        *,
        provider: str | None = None,
        train: str | Path | None = None,
        validation: str | Path | None = None,
        model: str | None = None,
        method: Method | str = Method.SFT,
        experiment: str | None = None,
        seed: int = 713,
        suffix: str | None = None,
        metadata: Mapping[str, str] | None = None,
        metrics: Sequence[str] | None = None,
        encoder: str | None = None,
        decoding: Decoding | None = None,
        split: float | None = None,
        budget_usd: float | None = None,
        again: bool = False,
        **parameters: ParameterValue,
    ) -> Job:
        """Tune one model and judge it, beside its base, on the validation set.

        Args:
            provider: The account; `[defaults] provider` of the settings when None.
            train: Training rows: a file, or `hf:NAME[:split]`.
            validation: Validation rows, likewise; without them (and without `split`) nothing is judged.
            model: The base; the account's default when None.
            method: `sft` or `dpo`.
            experiment: Name of the experiment; made from the validation set when None.
            seed: Seed of the training.
            suffix: Your own words in the tuned model's name.
            metadata: Your own key/value pairs.
            metrics: Names of metrics.
            encoder: Sentence encoder of the similarity metric.
            decoding: How answers are drawn.
            split: Share of the training rows to hold out for validation.
            budget_usd: Most that the experiment may reserve and spend.
            again: Make a new job even if the same one exists.
            parameters: Hyperparameters by name, such as `epochs=3, precision="int8"`.

        Returns:
            The tuning job: the same one as before if it exists and `again` is False.

        Raises:
            UserError: Bad input, with place and fix.
        """
        tuning = {"model": model, "method": Method(method), "seed": seed, "suffix": suffix, "parameters": parameters}
        judging = {"metrics": metrics and tuple(metrics), "encoder": encoder, "decoding": decoding, "split": split}
        where = {"experiment": experiment, "budget_usd": budget_usd, "again": again, "metadata": metadata or {}}
        rows = {"train": train and str(train), "validation": validation and str(validation)}
        asked: dict[str, Any] = {**tuning, **judging, **where, **rows}
        return (await self.start(await self.plan(one_job(self.settings, provider=provider, **asked))))[0]

    async def run(self, recipe: Path | str | Recipe, *, again: bool = False) -> Plan:
        """Start an experiment from a recipe; `wait` for its jobs, or `watch` them.

        Args:
            recipe: A TOML file, or a recipe already read.
            again: Make new jobs even if the same ones exist.
        """
        read = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
        plan = await self.plan(read.request(again=again))
        await self.start(plan)
        return plan

    async def build_sandbox(self, *, encoder: bool = False, rebuild: bool = False) -> Path:
        """Make the sandbox model (or its sentence encoder) when it is missing.

        Args:
            encoder: The sentence encoder rather than the chat model.
            rebuild: Make it anew.

        Returns:
            Its folder.
        """
        return await self.offline.build(encoder=encoder, rebuild=rebuild)

    # --- following --------------------------------------------------------------------------------------------------

    async def watch(
        self, jobs: Job | str | Iterable[Job | str] | None = None, *, experiment: str | None = None, after: int = 0
    ) -> AsyncIterator[Event]:
        """Yield the events of jobs as they are stored, old ones first, until all of them rest.

        Args:
            jobs: One or several jobs, or None for all.
            experiment: All jobs of this experiment.
            after: Only events with a greater `seq`.
        """
        ids = [(await self.job(job_id)).id for job_id in _ids(jobs)] if jobs is not None else None
        async for event in self._watcher.watch(self._store, ids=ids, experiment=experiment, after=after):
            yield event

    async def wait(
        self, jobs: Job | str | Iterable[Job | str] | None = None, *, experiment: str | None = None
    ) -> list[Job]:
        """Wait until jobs rest; return them as they are then."""
        ids = _ids(jobs) if jobs is not None else None
        async for _ in self._watcher.watch(self._store, ids=ids, experiment=experiment, after=-1):
            pass
        if ids is None:
            return await self.jobs(experiment=experiment)
        return [await self.job(job_id) for job_id in ids]

    async def job(self, job_id: str) -> Job:
        """Return one job by its id or a unique beginning of it."""
        return await blocking(self._store.job, job_id)

    async def jobs(self, **filters: Any) -> list[Job]:
        """Return jobs; filters as in `Store.jobs`."""
        return await blocking(self._store.jobs, **filters)

    async def count(self, *, experiment: str | None = None) -> dict[State, int]:
        """Return how many jobs are in each state."""
        return await blocking(self._store.count_jobs, experiment=experiment)

    async def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return stored events, oldest first."""
        return await blocking(self._store.events, job_id, after=after, limit=limit)

    async def cancel(self, job: Job | str) -> Job:
        """Ask for the end of a job (and of the evaluations that wait for it); whoever drives it acts on it."""
        return await self._control.cancel(_ids(job)[0])

    async def pause(self, job: Job | str) -> Job:
        """Ask for a pause of a job."""
        return await self._control.wish(_ids(job)[0], Wish.PAUSE)

    async def resume(self, job: Job | str) -> Job:
        """Go on with a paused job, or begin a failed, cancelled or lost one anew with its evaluations."""
        return await self._control.resume(_ids(job)[0])

    async def adopt(
        self,
        provider: str,
        remote_id: str,
        *,
        job: str | None = None,
        validation: str | None = None,
        experiment: str | None = None,
    ) -> Job:
        """Take over a job that exists at a provider.

        Args:
            provider: The account.
            remote_id: The provider's own id.
            job: The `lost` job that it is; a job of its own when None.
            validation: Judge its model, beside its base, on these rows.
            experiment: Name of the experiment.

        Raises:
            UserError: The provider does not know it, or the job is not lost.
        """
        handle = Handle(provider=provider, id=remote_id)
        if job is not None:
            return await self._control.settle(handle, job)
        known = await self.jobs(providers=[provider], handles=[remote_id])
        if known:
            return known[0]
        spec = await self._control.recall(handle)
        request = ExperimentRequest(name=experiment, validation=validation)
        return (await self.start(await self._planner.plan(request, adopted=[(handle, spec)])))[0]

    # --- results ----------------------------------------------------------------------------------------------------

    async def experiment(self, name: str | None = None) -> Experiment:
        """Return an experiment by name, or the newest."""
        if name is not None:
            return await blocking(self._store.experiment, name)
        found = await blocking(self._store.experiments)
        if not found:
            raise UnknownNameError("there are no experiments yet", fix="broker submit --help")
        return found[0]

    async def experiments(self) -> list[Experiment]:
        """Return all experiments, newest first."""
        return await blocking(self._store.experiments)

    async def results(self, experiment: str | None = None, *, all_pairs: bool = False) -> ResultsTable:
        """Return the table of an experiment: every model on the same validation set.

        Args:
            experiment: Its name; the newest when None.
            all_pairs: Compare every pair of models, not only each with its base and with the best.
        """
        found = await self.experiment(experiment)
        return await blocking(read_table, self._store, self.data_dir, found, all_pairs=all_pairs)

    # --- models -----------------------------------------------------------------------------------------------------

    async def models(self) -> list[tuple[str, ModelRef, str | None]]:
        """Return (alias, model, job id) of every model that jobs made."""
        return await blocking(self._store.models)

    async def model(self, name: str) -> ModelRef:
        """Find a model by alias, by the id of the job that made it, or as `provider:name`.

        Raises:
            UnknownNameError: Nobody knows it.
        """
        return await blocking(find_model, name, self._store, self.settings, self.accounts)

    async def completer(self, model: str | ModelRef) -> Completer:
        """Return an object that asks a model."""
        found = model if isinstance(model, ModelRef) else await self.model(model)
        if found.name == SANDBOX:
            await self.build_sandbox()
        return self.accounts.get(found.provider).completer(found)

    async def complete(self, model: str | ModelRef, requests: Sequence[CompletionRequest]) -> list[Answer]:
        """Ask a model and return the answers in the order of the requests."""
        completer = await self.completer(model)
        try:
            answers = {answer.id: answer async for answer in completer.complete(requests)}
        finally:
            await completer.aclose()
        return [answers[request.id] for request in requests]

    async def chat(
        self, model: str | ModelRef, message: str, *, system: str | None = None, decoding: Decoding | None = None
    ) -> str:
        """Ask a model one question and return its answer.

        Raises:
            BrokerError: The model did not answer.
        """
        request = question(message, system=system, decoding=decoding)
        answer = (await self.complete(model, [request]))[0]
        if answer.failure:
            raise BrokerError(f"the model did not answer: {answer.failure}")
        return answer.text

    async def export(self, model: str | ModelRef, output: Path, *, merge: bool = False) -> dict[str, Any]:
        """Write a tuned local model to a folder.

        Args:
            model: The model, or the job that made it.
            output: A new folder.
            merge: Write a whole bf16 model, checked against the adapter's logits, rather than the adapter.

        Returns:
            `output`, and with `merge` how far the logits differ.

        Raises:
            UserError: The model has no adapter, or the folder exists.
        """
        found = model if isinstance(model, ModelRef) else await self.model(model)
        return await export_model(found, output, merge=merge, settings=self.settings, workers=self.workers)


def _load(overrides: Mapping[str, Any]) -> Settings:
    from broker.settings import load_settings

    return load_settings(overrides=overrides)


def _ids(jobs: Job | str | Iterable[Job | str]) -> list[str]:
    if isinstance(jobs, Job | str):
        jobs = [jobs]
    return [job.id if isinstance(job, Job) else job for job in jobs]
