"""Plans a synthesis: sources and prompts read and stored, options checked, the price told; nothing is sent."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from broker.api.offline import SANDBOX_ENCODER
from broker.api.planning import Plan, PlannedJob
from broker.errors import Problem, SpecError
from broker.evaluation import PAPER_ENCODER
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_job_id
from broker.jobs.records import EXHAUSTED, Experiment, NewJob
from broker.jobs.spec import FRESH, ModelRef, ParameterValue, SynthesizeSpec
from broker.jobs.states import JobKind, State
from broker.providers.contract import Estimate
from broker.providers.parameters import check_value, flag
from broker.settings import BATCH, WITH_BATCHES
from broker.synthesis.outputs import MANIFEST
from broker.synthesis.sources import read_sources, source_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import Job
    from broker.jobs.spec import Spec
    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts
    from broker.providers.contract import Provider
    from broker.settings import Settings
    from broker.synthesis.pipeline import Pipeline

# What one request brings along beside the source text, and what it gives back, tokens, least and most.
_FRAME_TOKENS = 250
_ANSWER_TOKENS = (80, 300)
# So many rows are made for each that is wanted, at most.
_WASTE = 2.0
_REUSE_LOOK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisRequest:
    """Rows to be made.

    Attributes:
        provider: The account that answers.
        model: Its model; the account's default when None.
        pipeline: `qa`, `preference`, `persona`, or `module:attribute`.
        source: Source rows or texts (see `broker.synthesis.sources`); some pipelines do without.
        rows: Accepted rows wanted.
        output: Folder that receives the files.
        options: Of the pipeline, by name.
        prompts: Folder with prompt files of one's own.
        encoder: Sentence encoder of the de-duplication.
        seed: Of every choice.
        experiment: Its experiment, which holds the budget; named after the output folder when None.
        budget_usd: Most that it may cost; it stops cleanly there.
        batch: Ask by the Batch API where there is one: half the price, within a day.
        again: Make a new job even if the same one exists, and ask anew for what other jobs have answers to.
        label: What lists call it.
    """

    provider: str
    model: str | None = None
    pipeline: str = "qa"
    source: str | None = None
    rows: int = 100
    output: str = ""
    options: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    prompts: str | None = None
    encoder: str | None = None
    seed: int = 0
    experiment: str | None = None
    budget_usd: float | None = None
    batch: bool = False
    again: bool = False
    label: str = ""


class SynthesisPlanner:
    """Makes plans of synthesis jobs."""

    def __init__(self, *, settings: Settings, store: Store, artifacts: Artifacts, accounts: Accounts) -> None:
        """Keep what a plan is made with.

        Args:
            settings: Defaults and accounts.
            store: Knows earlier jobs.
            artifacts: Receives sources and prompts.
            accounts: The providers.
        """
        self._settings = settings
        self._store = store
        self._artifacts = artifacts
        self._accounts = accounts

    async def plan(self, request: SynthesisRequest) -> Plan:
        """Read, check and price a synthesis.

        Args:
            request: What is wanted.

        Raises:
            DataError: Bad source rows, with file and line.
            SpecError: Every other problem, all at once.
        """
        from broker.synthesis.pipeline import open_pipeline

        pipeline = open_pipeline(request.pipeline)
        request = replace(request, options=_listed(request.options, pipeline))
        account = self._asking(request)
        provider = self._accounts.get(account)
        records, twice = await self._sources(request.source)
        model = ModelRef(provider=account, name=self._model(provider, request))
        problems = [*_check(request, pipeline, records), *twice, *provider.check_model(model)]
        if not provider.capabilities.completer:
            what = f"the provider {request.provider!r} does not answer"
            problems.append(Problem(where="--provider", what=what, fix="choose one that does, such as gemini"))
        if errors := [problem for problem in problems if problem.severity == "error"]:
            raise SpecError(errors)
        spec = await blocking(self._spec, request, pipeline, records, model)
        experiment = await self._experiment(request, spec)
        warnings = [problem for problem in problems if problem.severity != "error"]
        if not request.again and (same := await self._same_job(spec)) is not None:
            return Plan(experiment=experiment, jobs=(), reused=(same,), warnings=tuple(warnings))
        estimate = _estimate(provider, model, pipeline, records, request.rows)
        reserved, more = await self._reserved(experiment, estimate)
        job = NewJob(id=new_job_id(JobKind.SYNTHESIZE), spec=spec, label=request.label, reserved_usd=reserved)
        paid = provider.capabilities.paid and estimate.high_usd > 0
        planned = PlannedJob(job=job, kind=JobKind.SYNTHESIZE, estimate=estimate, paid=paid)
        return Plan(experiment=experiment, jobs=(planned,), warnings=(*warnings, *more))

    async def _sources(self, source: str | None) -> tuple[list[dict[str, Any]], list[Problem]]:
        """Return the source rows, each once, and what to say about those that stand there more often."""
        if source is None:
            return [], []
        token = self._settings.hf_token
        read = await blocking(read_sources, source, token=token.get_secret_value() if token else None)
        first: dict[bytes, dict[str, Any]] = {}
        for record in read:
            first.setdefault(hashlib.sha256(json.dumps(record, sort_keys=True).encode()).digest(), record)
        once = list(first.values())
        if len(once) == len(read):
            return read, []
        what = f"{len(read) - len(once)} of {len(read)} source rows stand there twice: each is used once"
        return once, [Problem(where=source, what=what, severity="warning")]

    def _asking(self, request: SynthesisRequest) -> str:
        batches = request.batch and self._settings.account(request.provider).kind in WITH_BATCHES
        return request.provider + BATCH if batches else request.provider

    def _model(self, provider: Provider, request: SynthesisRequest) -> str:
        named = request.model or self._settings.default_model(request.provider)
        return provider.pin(named or provider.capabilities.default_model)

    def _spec(
        self,
        request: SynthesisRequest,
        pipeline: Pipeline,
        records: Sequence[Mapping[str, Any]],
        model: ModelRef,
    ) -> SynthesizeSpec:
        """Store what the job needs later, whatever becomes of the files meanwhile (blocking)."""
        from broker.synthesis.prompting import prompts_of

        prompts = prompts_of(pipeline.prompts, Path(request.prompts) if request.prompts else None)
        texts = json.dumps({name: prompt.text for name, prompt in prompts.items()}, sort_keys=True)
        lines = (json.dumps(record, ensure_ascii=False, sort_keys=True) for record in records)
        encoder = request.encoder or self._settings.defaults.encoder or PAPER_ENCODER
        return SynthesizeSpec(
            provider=model.provider,
            model=model.name,
            pipeline=request.pipeline,
            source=self._artifacts.put_lines(lines) if records else "",
            source_name=source_name(request.source) if request.source else "",
            rows=request.rows,
            output=str(Path(request.output).expanduser().resolve()),
            options={
                **dict(request.options),
                "prompts": self._artifacts.put_bytes(texts.encode()),
                "encoder": encoder,
                **({FRESH: True} if request.again else {}),
            },
            seed=request.seed,
        )

    async def _experiment(self, request: SynthesisRequest, spec: SynthesizeSpec) -> Experiment:
        name = request.experiment or f"synthesis-{Path(spec.output).name}"
        budget = request.budget_usd if request.budget_usd is not None else self._settings.defaults.budget_usd
        return Experiment(name=name, created_at=datetime.now(UTC), budget_usd=budget)

    async def _same_job(self, spec: SynthesizeSpec) -> Job | None:
        jobs = await blocking(
            self._store.jobs,
            kinds=[JobKind.SYNTHESIZE],
            providers=[spec.provider],
            newest_first=True,
            limit=_REUSE_LOOK,
        )
        return next((job for job in jobs if _asked(job.spec) == spec and not _over(job)), None)

    async def _reserved(self, experiment: Experiment, estimate: Estimate) -> tuple[float, list[Problem]]:
        """Return what to reserve: the estimate, or what the budget has left where that is less."""
        if experiment.budget_usd is None:
            return estimate.high_usd, []
        left = max(0.0, experiment.budget_usd - await blocking(self._store.spent, experiment.name))
        if left >= estimate.high_usd:
            return estimate.high_usd, []
        what = f"the budget has {left:.2f} USD left, and it may cost up to {estimate.high_usd:.2f} USD"
        fix = "it stops cleanly there with the rows that it has; broker resume JOB --budget MORE goes on"
        return left, [Problem(where="--budget", what=what, fix=fix, severity="warning")]


def _asked(spec: Spec) -> Spec:
    """Return what was asked for, however its answers were come by."""
    if not isinstance(spec, SynthesizeSpec):
        return spec
    return replace(spec, options={name: value for name, value in spec.options.items() if name != FRESH})


def _over(job: Job) -> bool:
    """Say whether a job is to be made anew: its files are gone, or it ended badly and not for want of sources."""
    if job.terminal and isinstance(job.spec, SynthesizeSpec) and not (Path(job.spec.output) / MANIFEST).is_file():
        return True
    exhausted = job.failure is not None and job.failure.code == EXHAUSTED
    return job.state in (State.CANCELLED, State.LOST) or (job.state is State.FAILED and not exhausted)


def _listed(options: Mapping[str, ParameterValue], pipeline: Pipeline) -> dict[str, ParameterValue]:
    """Return the options with lists as tuples of words, however they were given: `100,1000`, `[100, 1000]`, `100`."""
    lists = {parameter.name for parameter in pipeline.parameters if "list" in parameter.types}
    return {name: _words(value) if name in lists else value for name, value in options.items()}


def _words(value: Any) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    parts = cast("Sequence[object]", given) if isinstance(given, list | tuple) else [given]
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _check(request: SynthesisRequest, pipeline: Pipeline, records: Sequence[Mapping[str, Any]]) -> list[Problem]:
    problems = _check_options(request, pipeline)
    if not request.output:
        problems.append(Problem(where="--output", what="no folder is named", fix="--output DIR"))
    elif Path(request.output).expanduser().is_file():
        problems.append(Problem(where="--output", what=f"{request.output} is a file", fix="name a folder"))
    if request.rows < 1:
        problems.append(Problem(where="--rows", what=f"{request.rows} is no number of rows", fix="1 or more"))
    encoder = request.encoder or ""
    near = difflib.get_close_matches(encoder, [SANDBOX_ENCODER], cutoff=0.8)
    if near and near[0] != encoder and not Path(encoder).is_dir():
        what, fix = f"no encoder is called {encoder!r}", f"did you mean {near[0]}?"
        problems.append(Problem(where="--encoder", what=what, fix=fix))
    if pipeline.needs_source and request.source is None:
        fix = '--source FILE.jsonl, with one {"title": "…", "text": "…"} on each line'
        problems.append(Problem(where="--source", what=f"the pipeline {pipeline.name} needs source texts", fix=fix))
    if not problems and records and pipeline.needs_source:
        problems += _enough(request, pipeline, records)
    if not problems and pipeline.most is not None:
        most = pipeline.most(records, pipeline.with_defaults(request.options))
        if most < request.rows:
            what = f"the pipeline {pipeline.name} can make {most} rows of this, not {request.rows}"
            options = {"personas", "scenarios", "passes"} & {parameter.name for parameter in pipeline.parameters}
            fix = f"fewer rows, or more of {', '.join(sorted(options))} (--set NAME=NUMBER)"
            problems.append(Problem(where="--rows", what=what, fix=fix))
    return problems


def _check_options(request: SynthesisRequest, pipeline: Pipeline) -> list[Problem]:
    known = {parameter.name: parameter for parameter in pipeline.parameters}
    problems: list[Problem] = []
    for name, value in request.options.items():
        if name in known:
            problems += check_value(known[name], value) if value is not None else []
            continue
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
        problems.append(
            Problem(where=flag(name), what=f"the pipeline {pipeline.name!r} has no option {name!r}", fix=fix)
        )
    for name in pipeline.required:
        if not str(request.options.get(name) or "").strip():
            what = f"the pipeline {pipeline.name!r} needs it: {known[name].help}"
            problems.append(Problem(where=flag(name), what=what, fix=f'--set {name}="…"'))
    return problems


def _enough(request: SynthesisRequest, pipeline: Pipeline, records: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Say early when the sources cannot give so many rows."""
    from broker.synthesis.steps import long_enough

    options = pipeline.with_defaults(request.options)
    shortest, passes = int(options.get("min_chars") or 0), int(options["passes"])
    usable = len(long_enough(records, shortest))
    if usable * passes >= request.rows:
        return []
    needed = -(-request.rows // usable) if usable else 0
    what = f"{usable} of {len(records)} source texts have {shortest} characters or more: {request.rows} rows need more"
    more = f"--set passes={needed} (each text is used up to {needed} times)" if usable else "--set min_chars=0"
    return [Problem(where="--rows", what=what, fix=f"more sources, fewer rows, or {more}")]


def _estimate(
    provider: Provider, model: ModelRef, pipeline: Pipeline, records: Sequence[Mapping[str, Any]], rows: int
) -> Estimate:
    from broker.jobs.datasets import estimate_tokens

    source = sum(estimate_tokens(str(record["text"])) for record in records) / len(records) if records else 0.0
    least, most = pipeline.requests
    low = provider.estimate_answers(
        model, round(rows * (source + least * _FRAME_TOKENS)), rows * least * _ANSWER_TOKENS[0]
    )
    many = rows * _WASTE
    asked, told = round(many * (source + most * _FRAME_TOKENS)), round(many * most * _ANSWER_TOKENS[1])
    high = provider.estimate_answers(model, asked, told)
    return Estimate(low_usd=low.low_usd, high_usd=high.high_usd, basis=high.basis)
