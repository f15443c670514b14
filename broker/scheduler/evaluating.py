"""The life of an evaluation: ask the model every prompt of the frozen set, score the answers, store the numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from anyio import CancelScope

from broker.errors import StoreError
from broker.jobs.blocking import blocking
from broker.jobs.records import Failure, Job, Wish
from broker.jobs.spec import EvaluateSpec, ModelRef
from broker.jobs.states import State
from broker.scheduler.parts import Held, Parts, failure_of, read_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.evaluation import EvaluationResult, Progress
    from broker.providers.contract import Provider


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
    if held.job.wish is not None and await _obey(parts, held):
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


async def _obey(parts: Parts, held: Held) -> bool:
    """Act on a wish that came before the work; say whether the job rests now."""
    wish, state = held.job.wish, held.job.state
    if wish is Wish.CANCEL:
        await parts.end(held, State.CANCELLED)
    elif wish is Wish.PAUSE and state is not State.PAUSED:
        await parts.transition(held, State.PAUSED, wish=None)
    elif wish is Wish.RESUME and state is State.PAUSED:
        await parts.transition(held, State.QUEUED, wish=None)
    else:
        await parts.update(held, wish=None)
    return held.job.resting


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
    spec = held.job.spec
    assert isinstance(spec, EvaluateSpec)
    try:
        with held.scope:
            result = await _evaluate(parts, provider, held, spec, model)
            await parts.end(
                held,
                State.SUCCEEDED,
                result=_numbers(result),
                cost_usd=result.cost_usd,
            )
    except StoreError:
        raise
    except Exception as error:  # a provider may raise anything; its own `classify` reads it
        await parts.fail(held, failure_of(read_error(provider, error)))
    if held.scope.cancelled_caught:
        await _interrupted(parts, held)


async def _evaluate(
    parts: Parts, provider: Provider, held: Held, spec: EvaluateSpec, model: ModelRef
) -> EvaluationResult:
    from broker.evaluation import evaluate

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
            on_progress=_reporter(parts, held.job.id),
            retry_failed=held.job.attempt > 1,
            encoder=_encoder_folder(parts, spec),
            label=held.job.label,
        )
    finally:
        with CancelScope(shield=True):
            await completer.aclose()


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


def _reporter(parts: Parts, job_id: str) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        parts.progress(
            job_id,
            {
                "rows": progress.done,
                "total_rows": progress.total,
                "failed": progress.failed,
                "tokens": progress.tokens,
            },
        )

    return report


async def _interrupted(parts: Parts, held: Held) -> None:
    """A wish or a lost lease stopped the work; only a wish changes the state."""
    record = await blocking(parts.store.job, held.job.id)
    held.job = record
    if record.wish is Wish.CANCEL:
        await parts.end(held, State.CANCELLED)
    elif record.wish is Wish.PAUSE:
        await parts.transition(held, State.PAUSED, wish=None)
