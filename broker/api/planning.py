"""Turns a request into a plan: everything read, checked and priced, nothing stored and nothing sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.api.frozen import FrozenSets
from broker.api.judges import estimate_judge, judging
from broker.api.lineage import makers_of, trained_on
from broker.api.overlaps import OverlapFinder
from broker.api.sources import Sources
from broker.errors import BudgetError, DataError, Problem, SpecError
from broker.evaluation import DEFAULT_METRICS
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_job_id
from broker.jobs.records import Experiment, Handle, Job, NewJob
from broker.jobs.spec import DatasetRef, EvaluateSpec, JudgeSpec, ModelRef, PromptPolicy, Spec, TuneSpec
from broker.jobs.states import JobKind, State
from broker.providers.contract import Estimate, Provider
from broker.settings import BATCH, WITH_BATCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.api.request import ExperimentRequest, ModelRequest, TuneRequest
    from broker.jobs.artifacts import Artifacts
    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts
    from broker.settings import Settings

# What an answer takes when nobody knows better, tokens; half of the limit is reserved at most.
_ANSWER_TOKENS = 160
# So many of an account's newest jobs are compared with a new one.
_REUSE_LOOK = 2000
# Sums of prices are no exact numbers.
_ROUNDING_USD = 1e-9
_DEAD = frozenset({State.FAILED, State.CANCELLED, State.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job that would be stored, with its price."""

    job: NewJob
    kind: JobKind
    estimate: Estimate
    paid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request comes to.

    Attributes:
        experiment: Where the jobs go.
        jobs: The new jobs, tuning first.
        reused: Jobs that exist already and are the same.
        warnings: What is not wrong but should be known.
        validation: The frozen set, if anything is evaluated.
        overlap: What it shares with training data, where that was allowed; the table says so.
    """

    experiment: Experiment
    jobs: tuple[PlannedJob, ...]
    reused: tuple[Job, ...] = ()
    warnings: tuple[Problem, ...] = ()
    validation: DatasetRef | None = None
    overlap: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def low_usd(self) -> float:
        """Return the least that it will cost."""
        return sum(planned.estimate.low_usd for planned in self.jobs)

    @property
    def high_usd(self) -> float:
        """Return the most that it will cost; so much is reserved."""
        return sum(planned.estimate.high_usd for planned in self.jobs)

    @property
    def paid(self) -> bool:
        """Say whether anything of it costs money."""
        return any(planned.paid for planned in self.jobs)


@dataclass(slots=True)
class _Draft:
    jobs: list[PlannedJob] = field(default_factory=list[PlannedJob])
    reused: list[Job] = field(default_factory=list[Job])
    problems: list[Problem] = field(default_factory=list[Problem])
    bases: list[ModelRef] = field(default_factory=list[ModelRef])


class Planner:
    """Makes plans."""

    def __init__(self, *, settings: Settings, store: Store, artifacts: Artifacts, accounts: Accounts) -> None:
        """Keep what a plan is made with.

        Args:
            settings: Defaults and accounts.
            store: Knows earlier jobs.
            artifacts: Receives the data sets (content-addressed, so nothing is lost if the plan is dropped).
            accounts: The providers.
        """
        self._settings = settings
        self._store = store
        self._artifacts = artifacts
        self._accounts = accounts
        self._sets = FrozenSets(store, artifacts)

    async def plan(self, request: ExperimentRequest, *, adopted: Sequence[tuple[Handle, TuneSpec]] = ()) -> Plan:
        """Read, check and price everything.

        Args:
            request: What is wanted.
            adopted: Jobs that providers have already, to be judged like the request's own.

        Returns:
            The plan.

        Raises:
            DataError: Bad rows, with file and line.
            SpecError: Every other problem, all at once.
            UnknownNameError: An account that nobody knows.
            BudgetError: The new jobs, with what was spent before, would pass the budget.
        """
        draft = _Draft()
        token = self._settings.hf_token
        sources = Sources(request, self._artifacts, token.get_secret_value() if token else None)
        validation = await sources.validation()
        experiment = await blocking(self._experiment, request, validation)
        trained = [(self._adoption(handle, spec, draft), spec) for handle, spec in adopted]
        for tuning in request.tunings:
            trained.append(await self._tuning(tuning, request, draft, sources))
        overlap: Mapping[str, Any] = {}
        if validation is not None:
            await self._evaluations(request, experiment, validation, trained, draft)
            overlap = await self._overlaps(sources, validation, draft, allow=request.allow_overlap)
        self._raise(draft)
        await self._require_budget(experiment, draft)
        warnings = [*sources.warnings, *(problem for problem in draft.problems if problem.severity != "error")]
        return Plan(
            experiment=experiment,
            jobs=tuple(draft.jobs),
            reused=tuple(draft.reused),
            warnings=tuple(warnings),
            validation=validation,
            overlap=overlap,
        )

    async def _overlaps(
        self, sources: Sources, validation: DatasetRef, draft: _Draft, *, allow: bool
    ) -> Mapping[str, Any]:
        """Look for the validation prompts in all training data; return what the table must say."""
        assert sources.judge is not None
        finder = OverlapFinder(self._store, self._artifacts, self._settings.cache_dir)
        found = await blocking(finder.find, sources.judge, validation, sources.trained)
        draft.problems += found.problems(allow=allow)
        if not found.leaks:
            return {}
        specs: dict[str, Spec] = {planned.job.id: planned.job.spec for planned in draft.jobs}
        specs |= {job.id: job.spec for job in draft.reused}
        return found.document(await blocking(trained_on, self._store, specs), makers_of(specs))

    # --- tuning -----------------------------------------------------------------------------------------------------

    async def _tuning(
        self,
        tuning: TuneRequest,
        request: ExperimentRequest,
        draft: _Draft,
        sources: Sources,
    ) -> tuple[str, TuneSpec]:
        provider = self._accounts.get(tuning.provider)
        _, ref = await sources.training(tuning.train)
        spec = TuneSpec(
            provider=tuning.provider,
            model=self._model_name(provider, tuning.model),
            train=ref,
            method=tuning.method,
            parameters=dict(tuning.parameters),
            seed=tuning.seed,
            suffix=tuning.suffix,
            metadata=dict(tuning.metadata),
        )
        draft.problems += provider.check(spec)
        same = None if request.again else await self._same_job(spec)
        if same is not None:
            draft.reused.append(same)
            return same.id, spec
        job_id = new_job_id(JobKind.TUNE)
        estimate = provider.estimate(spec)
        job = NewJob(id=job_id, spec=spec, label=tuning.label, priority=tuning.priority, reserved_usd=estimate.high_usd)
        paid = provider.capabilities.paid
        draft.jobs.append(PlannedJob(job=job, kind=JobKind.TUNE, estimate=estimate, paid=paid))
        return job_id, spec

    def _adoption(self, handle: Handle, spec: TuneSpec, draft: _Draft) -> str:
        job = NewJob(id=new_job_id(JobKind.TUNE), spec=spec, handle=handle, label=handle.id)
        draft.jobs.append(PlannedJob(job=job, kind=JobKind.TUNE, estimate=Estimate(), paid=False))
        return job.id

    def _model_name(self, provider: Provider, given: str | None) -> str:
        name = given or self._settings.default_model(provider.name) or provider.capabilities.default_model
        return provider.pin(name)

    async def _same_job(self, spec: TuneSpec) -> Job | None:
        jobs = await blocking(
            self._store.jobs, kinds=[JobKind.TUNE], providers=[spec.provider], newest_first=True, limit=_REUSE_LOOK
        )
        return next((job for job in jobs if job.spec == spec and job.state not in _DEAD), None)

    # --- evaluation -------------------------------------------------------------------------------------------------

    async def _evaluations(
        self,
        request: ExperimentRequest,
        experiment: Experiment,
        validation: DatasetRef,
        trained: Sequence[tuple[str, TuneSpec]],
        draft: _Draft,
    ) -> None:
        metrics, judge = self._metrics(request, draft)
        known = await self._known_evaluations(experiment.name)
        wanted: list[tuple[EvaluateSpec, str]] = []
        for asked in request.models:
            wanted += self._asked(asked, request, validation)
        if request.bases:
            wanted += self._bases(trained, request, validation, draft)
        own = trained[len(trained) - len(request.tunings) :]
        labels = {tuning_id: tuning.label for (tuning_id, _), tuning in zip(own, request.tunings, strict=True)}
        for job_id, spec in trained:
            tuned = self._evaluation(request, validation, provider=spec.provider, tune_job=job_id)
            wanted.append((tuned, labels.get(job_id, "")))
        measured = [(replace(spec, metrics=metrics, judge=judge), label) for spec, label in wanted]
        for evaluation, label in _distinct(measured):
            if evaluation in known:
                draft.reused.append(known[evaluation])
            else:
                await self._plan_evaluation(evaluation, label, validation, draft)

    def _metrics(self, request: ExperimentRequest, draft: _Draft) -> tuple[tuple[str, ...], JudgeSpec | None]:
        """Return the metrics by their lasting names, and the judge if they need one."""
        named = (request.metrics, self._settings.defaults.metrics, DEFAULT_METRICS)
        names = next(names for names in named if names is not None)
        metrics, judge, problems = judging(names, request.judge, self._settings, self._accounts)
        draft.problems += problems
        return metrics, judge

    async def _known_evaluations(self, experiment: str) -> Mapping[EvaluateSpec, Job]:
        jobs = await blocking(self._store.jobs, experiment=experiment, kinds=[JobKind.EVALUATE])
        return {job.spec: job for job in jobs if isinstance(job.spec, EvaluateSpec) and job.state not in _DEAD}

    def _asked(
        self, asked: ModelRequest, request: ExperimentRequest, validation: DatasetRef
    ) -> list[tuple[EvaluateSpec, str]]:
        if asked.tune_job is not None:
            tuned = [
                self._evaluation(request, validation, provider=asked.provider, tune_job=asked.tune_job, policy=policy)
                for policy in asked.policies
            ]
            return [(spec, asked.label) for spec in tuned]
        provider = self._accounts.get(asked.provider)
        model = ModelRef(
            provider=asked.provider,
            name=self._model_name(provider, asked.model),
            adapter=asked.adapter,
            precision=asked.precision,
        )
        return [
            (self._evaluation(request, validation, provider=asked.provider, model=model, policy=policy), asked.label)
            for policy in asked.policies
        ]

    def _bases(
        self,
        trained: Sequence[tuple[str, TuneSpec]],
        request: ExperimentRequest,
        validation: DatasetRef,
        draft: _Draft,
    ) -> list[tuple[EvaluateSpec, str]]:
        bases = dict.fromkeys(base_of(spec, self._accounts.get(spec.provider)) for _, spec in trained)
        draft.bases += bases
        return [(self._evaluation(request, validation, provider=base.provider, model=base), "") for base in bases]

    def _evaluation(
        self,
        request: ExperimentRequest,
        validation: DatasetRef,
        *,
        provider: str,
        model: ModelRef | None = None,
        tune_job: str | None = None,
        policy: PromptPolicy | None = None,
    ) -> EvaluateSpec:
        return EvaluateSpec(
            provider=self._asking(provider) if request.batch else provider,
            validation=validation,
            model=model,
            tune_job=tune_job,
            policy=policy or request.policy,
            decoding=request.decoding,
            encoder=request.encoder or self._settings.defaults.encoder,
        )

    def _asking(self, account: str) -> str:
        """Return the account's face that asks by the Batch API, where its kind has one."""
        return account + BATCH if self._settings.account(account).kind in WITH_BATCHES else account

    async def _plan_evaluation(self, spec: EvaluateSpec, label: str, validation: DatasetRef, draft: _Draft) -> None:
        provider = self._accounts.get(spec.provider)
        if spec.model is not None:
            draft.problems += provider.check_model(spec.model)
        named = spec.model or ModelRef(provider=spec.provider, name=await self._tuned_base(spec, draft))
        answer_tokens = validation.rows * min(_ANSWER_TOKENS, spec.decoding.max_tokens)
        answers = provider.estimate_answers(named, validation.tokens, answer_tokens)
        judged, judge_paid = estimate_judge(spec, answer_tokens, self._accounts)
        estimate = Estimate(
            low_usd=answers.low_usd + judged.low_usd,
            high_usd=answers.high_usd + judged.high_usd,
            basis=(*answers.basis, *judged.basis),
        )
        depends = () if spec.tune_job is None else (spec.tune_job,)
        job = NewJob(
            id=new_job_id(JobKind.EVALUATE),
            spec=spec,
            label=label,
            depends_on=depends,
            reserved_usd=estimate.high_usd,
        )
        paid = judge_paid or (provider.capabilities.paid and answers.high_usd > 0)
        draft.jobs.append(PlannedJob(job=job, kind=JobKind.EVALUATE, estimate=estimate, paid=paid))

    async def _tuned_base(self, spec: EvaluateSpec, draft: _Draft) -> str:
        specs: dict[str, Any] = {planned.job.id: planned.job.spec for planned in draft.jobs}
        tune_job = str(spec.tune_job)
        specs.update({job.id: job.spec for job in draft.reused})
        if tune_job not in specs:
            specs[tune_job] = (await blocking(self._store.job, tune_job)).spec
        base: str = specs[tune_job].model
        return f"ft:{base}" if not base.startswith("ft:") else base

    # --- the whole --------------------------------------------------------------------------------------------------

    def _experiment(self, request: ExperimentRequest, validation: DatasetRef | None) -> Experiment:
        name = request.name or self._settings.defaults.experiment or self._sets.default_name(validation)
        budget = request.budget_usd if request.budget_usd is not None else self._settings.defaults.budget_usd
        return Experiment(
            name=name,
            created_at=datetime.now(UTC),
            validation_sha256=self._sets.as_stored(name, validation),
            budget_usd=budget,
            decoding=request.decoding,
            notes=dict(request.notes),
        )

    async def _require_budget(self, experiment: Experiment, draft: _Draft) -> None:
        """Refuse early what the store would refuse, so that nothing is stored of it."""
        wanted = sum(planned.job.reserved_usd for planned in draft.jobs)
        if experiment.budget_usd is None or not wanted:
            return
        total = wanted + await blocking(self._store.spent, experiment.name)
        if total > experiment.budget_usd + _ROUNDING_USD:
            what = f"{total:.2f} USD would be reserved or spent, the budget is {experiment.budget_usd:.2f} USD"
            fix = "raise it with --budget, ask for fewer jobs, or use another experiment"
            raise BudgetError(what, where=f"experiment {experiment.name}", fix=fix)

    def _raise(self, draft: _Draft) -> None:
        errors = list(dict.fromkeys(problem for problem in draft.problems if problem.severity == "error"))
        if not errors:
            return
        if all(problem.where.startswith("overlap") for problem in errors):
            raise DataError(errors)
        raise SpecError(errors)


def base_of(spec: TuneSpec, provider: Provider) -> ModelRef:
    """Return the base model of a tuning job as it is asked: in the same precision, without the adapter."""
    announced = {parameter.name: parameter.default for parameter in provider.capabilities.parameters}
    precision = spec.parameters.get("precision") or announced.get("precision")
    return ModelRef(provider=spec.provider, name=spec.model, precision=str(precision) if precision else None)


def _distinct(wanted: Sequence[tuple[EvaluateSpec, str]]) -> list[tuple[EvaluateSpec, str]]:
    seen: dict[EvaluateSpec, str] = {}
    for spec, label in wanted:
        seen[spec] = seen.get(spec) or label
    return list(seen.items())
