"""One row per model: from tuning jobs, evaluations and their results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from broker.catalog.catalog import base_of, is_tuned
from broker.evaluation.record import EvaluationResult, MetricResult
from broker.jobs.records import Job
from broker.jobs.spec import EvaluateSpec, TuneSpec
from broker.jobs.states import JobKind, State
from broker.results.values import Cell, ResultRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHORT = {"learning_rate": "lr", "lora_rank": "r", "rank": "r", "n_epochs": "epochs", "lora_alpha": "alpha"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What one row is made of; at least one of the jobs is there."""

    tune: Job | None
    evaluation: Job | None
    result: EvaluationResult | None


def make_rows(jobs: Sequence[Job], evaluations: Mapping[str, EvaluationResult]) -> list[ResultRow]:
    """Return a row for every model, bases first, each kind in the order in which it was asked for.

    Args:
        jobs: Of the experiment, in any state, with the tuning jobs whose models it judges.
        evaluations: Results by id of the evaluation.
    """
    sources = _sources(jobs, evaluations)
    asked = [_asked(source) for source in sources if source.tune is None]
    bases = [row for row in asked if row.kind == "base"]
    tuned = [row for row in asked if row.kind == "tuned"]
    tuned += [_tuned(source) for source in sources if source.tune is not None]
    rows = [*bases, *(replace(row, bases=_own_bases(row, bases)) for row in tuned)]
    return _told_apart(rows)


def _sources(jobs: Sequence[Job], evaluations: Mapping[str, EvaluationResult]) -> list[_Source]:
    ordered = sorted(jobs, key=lambda job: job.created_at)
    tunes = {job.id: job for job in ordered if job.kind is JobKind.TUNE}
    found: list[_Source] = []
    judged: set[str] = set()
    for job in ordered:
        if not isinstance(job.spec, EvaluateSpec):
            continue
        judged.add(job.spec.tune_job or "")
        tune = tunes.get(job.spec.tune_job or "")
        found.append(_Source(tune=tune, evaluation=job, result=evaluations.get(job.id)))
    waiting = [_Source(tune=job, evaluation=None, result=None) for job in tunes.values() if job.id not in judged]
    return [*found, *waiting]


def _asked(source: _Source) -> ResultRow:
    """Return the row of a model that no tuning job of the table made: a base, or one tuned elsewhere."""
    job = source.evaluation
    assert job is not None
    assert isinstance(job.spec, EvaluateSpec)
    model = job.model or job.spec.model
    foreign = model is not None and (model.adapter is not None or is_tuned(model.name))
    name = model.name if model else job.spec.tune_job or "unknown"
    policy = job.spec.policy.name
    shown = name if policy == "as-is" else f"{name} ({policy})"
    return _measured(
        ResultRow(
            key=job.id,
            label=job.label or shown,
            kind="base" if job.spec.tune_job is None and not foreign else "tuned",
            provider=job.provider,
            model=name,
            precision=(model.precision if model else None) or "",
            policy=policy,
            evaluation_job=job.id,
        ),
        source,
    )


def _tuned(source: _Source) -> ResultRow:
    job, evaluation = source.tune, source.evaluation
    assert job is not None
    assert isinstance(job.spec, TuneSpec)
    spec = job.spec
    evaluated = evaluation.spec if evaluation is not None else None
    precision = spec.parameters.get("precision") or (job.model.precision if job.model else None)
    return _measured(
        ResultRow(
            key=evaluation.id if evaluation else job.id,
            label=job.label or (evaluation.label if evaluation else "") or f"{spec.suffix or spec.model} tuned",
            kind="tuned",
            provider=job.provider,
            model=spec.model,
            method=str(spec.method),
            precision=str(precision or ""),
            policy=evaluated.policy.name if isinstance(evaluated, EvaluateSpec) else "as-is",
            rows_trained=spec.train.rows,
            parameters=dict(spec.parameters),
            train_s=_train_s(job),
            train_cost_usd=job.cost_usd,
            tune_job=job.id,
            evaluation_job=evaluation.id if evaluation else None,
        ),
        source,
    )


def _measured(row: ResultRow, source: _Source) -> ResultRow:
    """Add the state and, where there is a result, its numbers."""
    state, stage, detail = _state(source)
    result, job = source.result, source.evaluation
    if result is None:
        return replace(row, state=state, stage=stage, detail=detail, eval_cost_usd=job.cost_usd if job else None)
    return replace(
        row,
        state=state,
        stage=stage,
        detail=detail,
        n=result.n,
        failed=result.failed,
        empty=result.empty,
        cut=result.cut,
        validation_sha256=str(result.conditions.get("validation_sha256") or ""),
        cells={name: _cell(found) for name, found in result.metrics.items()},
        eval_s=result.seconds,
        tokens_per_s=result.tokens_per_s,
        eval_cost_usd=result.cost_usd if job is None or job.cost_usd is None else job.cost_usd,
        judge_cost_usd=result.judge_cost_usd,
        policy=str(result.conditions.get("policy") or row.policy),
        precision=row.precision or str(result.conditions.get("precision") or ""),
    )


def _state(source: _Source) -> tuple[str, str, str]:
    """Return (state, stage, detail) of the work that stands between this row and its numbers."""
    tune, evaluation = source.tune, source.evaluation
    if tune is not None and tune.state is not State.SUCCEEDED:
        return str(tune.state), "tuning", _detail(tune)
    if source.result is not None:
        return str(State.SUCCEEDED), "evaluation", ""
    if evaluation is None:
        return "not evaluated", "evaluation", "no evaluation was asked for"
    if evaluation.state is State.SUCCEEDED:
        return "no scores", "evaluation", "the file of its scores is missing"
    return str(evaluation.state), "evaluation", _detail(evaluation)


def _detail(job: Job) -> str:
    trouble = job.failure or job.look
    return trouble.message if trouble else ""


def _cell(found: MetricResult) -> Cell:
    return Cell(
        value=found.value,
        low=found.low,
        high=found.high,
        scored=found.scored,
        unscored=found.unscored,
        failure=found.failure,
        details=found.details,
        breakdown=found.breakdown,
    )


def _train_s(job: Job) -> float | None:
    seconds = job.result.get("seconds")
    if isinstance(seconds, int | float):
        return float(seconds)
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def _own_bases(row: ResultRow, bases: Sequence[ResultRow]) -> tuple[str, ...]:
    """Return the bases of a tuned model: its own precision where that was asked, its own policy first."""
    same = [base for base in bases if (base.provider, base.model) == (row.provider, base_of(row.model))]
    exact = [base for base in same if base.precision == row.precision]
    chosen = sorted(exact or same, key=lambda base: base.policy != row.policy)
    return tuple(base.key for base in chosen)


def _told_apart(rows: list[ResultRow]) -> list[ResultRow]:
    """Add to labels that occur more than once what differs: parameters, prompts, or a number."""
    counts = Counter(row.label for row in rows)
    same = {label: [row for row in rows if row.label == label] for label, count in counts.items() if count > 1}
    marked = [replace(row, label=_longer(row, same[row.label])) if row.label in same else row for row in rows]
    seen: Counter[str] = Counter()
    again = Counter(row.label for row in marked)
    for i, row in enumerate(marked):
        if again[row.label] > 1:
            seen[row.label] += 1
            marked[i] = replace(row, label=f"{row.label} #{seen[row.label]}")
    return marked


def _longer(row: ResultRow, namesakes: Sequence[ResultRow]) -> str:
    parts: list[str] = []
    for title in ("kind", "provider", "policy", "precision", "rows_trained", "method"):
        if len({getattr(other, title) for other in namesakes}) > 1 and getattr(row, title):
            parts.append(f"{getattr(row, title)} rows" if title == "rows_trained" else str(getattr(row, title)))
    names = dict.fromkeys(name for other in namesakes for name in other.parameters if name != "precision")
    for name in names:
        values: list[Any] = [other.parameters.get(name) for other in namesakes]
        if any(value != values[0] for value in values) and row.parameters.get(name) is not None:
            parts.append(f"{_SHORT.get(name, name)}={row.parameters[name]}")
    return f"{row.label} ({', '.join(parts)})" if parts else row.label
