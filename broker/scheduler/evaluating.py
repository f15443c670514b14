"""The life of an evaluation: ask the model every prompt of the frozen set, score the answers, store the numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from anyio import CancelScope

from broker.jobs.blocking import blocking
from broker.jobs.records import Failure, Job
from broker.jobs.spec import EvaluateSpec, JudgeSpec, ModelRef
from broker.jobs.states import JobKind, State
from broker.scheduler.patience import interrupted, until_done
from broker.scheduler.tuning import obey_at_rest

if TYPE_CHECKING:
    from pathlib import Path

    from broker.evaluation import EvaluationResult, Progress
    from broker.providers.contract import Completer, Provider
    from broker.scheduler.parts import Held, Parts


def evaluation_folder(data_dir: Path, job_id: str) -> Path:
    """Return the folder that holds an evaluation's answers and scores."""
    return data_dir / "evaluations" / job_id


async def drive_evaluation(parts: Parts, provider: Provider, held: Held) -> bool:
    """Bring an evaluation to its end; killed and started again, it asks only what is missing.

    Args:
        parts: What drivers share.
        provider: The account that answers.
        held: The job, leased.

    Returns:
        False: an evaluation needs no following.
    """
    await obey_at_rest(parts, held)
    if held.job.resting or not await _has_rows(parts, held):
        return False
    model = await _model(parts, held)
    if model is None:
        return False
    if held.job.state is State.QUEUED:
        await parts.transition(held, State.PREPARING)
    if held.job.state is State.PREPARING:
        problems = [problem for problem in provider.check_model(model) if problem.severity == "error"]
        if problems:
            what, fix = "\n".join(map(str, problems)), problems[0].fix
            await parts.fail(held, Failure(code="model", message=what, fix=fix, at=datetime.now(UTC)))
            return False
        await parts.transition(held, State.RUNNING, model=model, started_at=datetime.now(UTC))
    await _ask(parts, provider, held, model)
    return False


async def _has_rows(parts: Parts, held: Held) -> bool:
    """End the job when its validation set is gone from the artifacts."""
    spec = held.job.spec
    assert isinstance(spec, EvaluateSpec)
    missing = await parts.missing(spec.validation)
    if missing:
        fix = "put the artifacts folder back from a copy, then: broker resume " + held.job.id
        await parts.fail(held, Failure(code="data", message=missing[0], fix=fix, at=datetime.now(UTC)))
    return not missing


async def _model(parts: Parts, held: Held) -> ModelRef | None:
    """Return the model to ask; end the job when its tuning job has none."""
    spec = held.job.spec
    assert isinstance(spec, EvaluateSpec)
    if spec.tune_job is None:
        return spec.model
    tuned: Job = await blocking(parts.store.job, spec.tune_job)
    if tuned.state is State.SUCCEEDED and tuned.model is not None:
        return tuned.model
    what = f"the tuning job {tuned.id} is {tuned.state}: there is no model to ask"
    fix = f"broker resume {tuned.id}, then broker resume {held.job.id}"
    await parts.fail(held, Failure(code="no_model", message=what, fix=fix, at=datetime.now(UTC)))
    return None


async def _ask(parts: Parts, provider: Provider, held: Held, model: ModelRef) -> None:
    counted = _Counter(parts, held.job.id)

    async def work(again: bool) -> None:
        result = await _evaluate(parts, provider, held, model, counted, again=again)
        await parts.end(held, State.SUCCEEDED, result=_numbers(result), cost_usd=result.cost_usd)

    with held.scope:
        await until_done(parts, provider, held, work, lambda: counted.rows)
    if held.scope.cancelled_caught:
        await interrupted(parts, held)


async def _evaluate(
    parts: Parts, provider: Provider, held: Held, model: ModelRef, counted: _Counter, *, again: bool
) -> EvaluationResult:
    from broker.evaluation import evaluate

    spec = held.job.spec
    assert isinstance(spec, EvaluateSpec)
    if not again:
        await blocking(_take_over, parts, held.job, spec, model)
    completer = provider.completer(model)
    try:
        return await evaluate(
            held.job.id,
            spec,
            model=model,
            completer=completer,
            artifacts=parts.artifacts,
            folder=evaluation_folder(parts.data_dir, held.job.id),
            workers=parts.workers,
            on_progress=counted,
            retry_failed=again,
            encoder=_encoder_folder(parts, spec),
            label=held.job.label,
            judge=partial(_open_judge, parts, spec.judge) if spec.judge is not None else None,
        )
    finally:
        with CancelScope(shield=True):
            await completer.aclose()


def _take_over(parts: Parts, job: Job, spec: EvaluateSpec, model: ModelRef) -> None:
    """Begin with the answers of an earlier evaluation of this experiment, where only the metrics differ."""
    from broker.evaluation.answers import question, take_over

    asked = question(spec, model)
    done = parts.store.jobs(experiment=job.experiment, kinds=[JobKind.EVALUATE], states=[State.SUCCEEDED])
    for other in reversed(done):
        of_other = other.model or (other.spec.model if isinstance(other.spec, EvaluateSpec) else None)
        same = isinstance(other.spec, EvaluateSpec) and of_other and question(other.spec, of_other) == asked
        folder, earlier = (evaluation_folder(parts.data_dir, one.id) for one in (job, other))
        if same and take_over(folder, earlier, asked):
            return


def _open_judge(parts: Parts, judge: JudgeSpec) -> Completer:
    return parts.accounts.get(judge.provider).completer(ModelRef(provider=judge.provider, name=judge.model))


def _encoder_folder(parts: Parts, spec: EvaluateSpec) -> str | None:
    """Return the folder of the sandbox encoder when that is the one named; others are found by their own name."""
    from broker.sandbox import encoder_dir

    return str(encoder_dir(parts.settings.cache_dir)) if spec.encoder == "sandbox-encoder" else None


def _numbers(result: EvaluationResult) -> dict[str, float | int | None]:
    """Return what the job's record keeps; the rest is in its folder."""
    numbers: dict[str, float | int | None] = {
        "n": result.n,
        "failed": result.failed,
        "seconds": result.seconds,
        "tokens_per_s": result.tokens_per_s,
    }
    return {**numbers, **{name: found.value for name, found in result.metrics.items()}}


class _Counter:
    """Notes how far the asking is, for watchers and for whoever decides whether it goes on."""

    def __init__(self, parts: Parts, job_id: str) -> None:
        self._parts = parts
        self._job_id = job_id
        self.rows = 0

    def __call__(self, progress: Progress) -> None:
        self.rows = progress.done - progress.failed + progress.judged
        data = {"rows": progress.done, "total_rows": progress.total}
        if progress.to_judge:
            data |= {"judged": progress.judged, "to_judge": progress.to_judge}
        self._parts.progress(self._job_id, {**data, "failed": progress.failed, "tokens": progress.tokens})
