"""One evaluation: ask what is missing, store answers as they come, then compute the metrics.

Killed at any instant and called again with the same folder, it asks only what is missing. The metrics are computed from
the stored answers every time, so a new metric costs no new answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from broker.errors import Problem, RefusedError, SpecError, UnavailableError
from broker.evaluation.answers import Line, StoredAnswers, line_of, question, standing, stored
from broker.evaluation.judging.asking import JUDGEMENTS, Counted, Judge, spent
from broker.evaluation.metrics import (
    DEFAULT_METRICS,
    PAPER_ENCODER,
    Metric,
    MetricContext,
    Scored,
    Workers,
    open_metric,
)
from broker.evaluation.prompts import expected, prompts
from broker.evaluation.record import ANSWERS, EvaluationResult, save_result
from broker.evaluation.scoring import score_metric
from broker.jobs.blocking import blocking
from broker.jobs.codec import dump
from broker.jobs.datasets import frozen_hash, load_dataset
from broker.jobs.rowfile import RowFile
from broker.providers.asking import OnThisMachine
from broker.providers.contract import Answer, Completer, CompletionRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.rows import Dataset
    from broker.jobs.spec import EvaluateSpec, JudgeSpec, ModelRef

SILENT = "the provider gave no answer for this row"
# How answers end of which nothing need be said, or which are counted by themselves.
USUAL = frozenset({"stop", "length"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation is.

    Attributes:
        done: Rows with an answer or a failure.
        total: Rows of the set.
        failed: Rows without an answer so far.
        tokens: Output tokens so far.
        judged: Judgements that came so far.
        to_judge: Judgements wanted so far: those of the metrics computed one after another.
    """

    done: int
    total: int
    failed: int
    tokens: int
    judged: int = 0
    to_judge: int = 0


OnProgress = Callable[[Progress], None]


async def evaluate(
    job_id: str,
    spec: EvaluateSpec,
    *,
    model: ModelRef,
    completer: Completer,
    artifacts: Artifacts,
    folder: Path,
    workers: Workers | None = None,
    on_progress: OnProgress = lambda _progress: None,
    retry_failed: bool = False,
    encoder: str | None = None,
    label: str = "",
    judge: Callable[[], Completer] | None = None,
) -> EvaluationResult:
    """Ask a model the frozen validation set and score its answers.

    Args:
        job_id: The evaluation.
        spec: What to ask and what to compute.
        model: The model behind `completer` (the spec's own, or the one its tuning job made).
        completer: Asks the model; the caller closes it.
        artifacts: Holds the validation set.
        folder: Of this evaluation alone; answers and scores are kept here.
        workers: The torch processes, for metrics that need an encoder.
        on_progress: Called after every stored answer.
        retry_failed: Ask rows again that failed in an earlier session (a person's new attempt).
        encoder: Folder to load for `spec.encoder`, when that is a name only the caller can resolve (`sandbox-encoder`).
        label: What tables call the model; made from `model` when empty.
        judge: Opens what asks `spec.judge`; it is closed here.

    Returns:
        The result, which is also in `folder/scores.json`. A metric that could not be computed says why in `failure`.

    Raises:
        SpecError: The validation set is empty.
        UnknownNameError: A metric is unknown; raised before anything is asked.
        ProviderError: The provider refused altogether, or every single row failed; what was stored stays stored.
        UnavailableError: The model or the judge cannot answer now; asking again goes on where it stopped.
        StoreError: The disk refused.
    """
    judging = _judge(spec, judge, folder, on_progress, again=retry_failed)
    context = replace(_context(spec, encoder), workers=workers, model=model, judge=judging)
    if isinstance(completer, OnThisMachine):
        context = replace(context, loaded=completer.loaded)
    metrics = [open_metric(name, context) for name in spec.metrics or DEFAULT_METRICS]
    dataset = await blocking(load_dataset, spec.validation, artifacts)
    requests = prompts(dataset, spec.policy, spec.decoding)
    if not requests:
        raise SpecError([Problem(where=spec.validation.name, what="the validation set has no rows", fix="add rows")])
    asking = _Asking(folder / ANSWERS, question(spec, model), requests, on_progress)
    answers = await asking.ask(completer, retry_failed=retry_failed)
    rows = _scored(dataset, requests, answers)
    frozen = await blocking(frozen_hash, spec.validation, artifacts)
    result = _counted(job_id, label or model.label, len(requests), answers, _conditions(spec, model, metrics, frozen))
    if result.failed == result.n:
        raise _nothing(job_id, result)
    result = await _measured(result, metrics, rows, judging, folder)
    await blocking(save_result, result, folder)
    return result


def _context(spec: EvaluateSpec, encoder: str | None) -> MetricContext:
    named = spec.encoder or PAPER_ENCODER
    return MetricContext(encoder=encoder or named, encoder_name=named)


async def _measured(
    result: EvaluationResult,
    metrics: Sequence[Metric],
    rows: Sequence[Scored | None],
    judging: Judge | None,
    folder: Path,
) -> EvaluationResult:
    """Add the numbers of the metrics, and what the judge cost in all sessions."""
    try:
        computed = [await score_metric(metric, rows) for metric in metrics]
    finally:
        if judging is not None:
            await judging.aclose()
    judged_usd = await blocking(spent, folder / JUDGEMENTS)
    found = {item.name: item for item in computed}
    return replace(result, metrics=found, cost_usd=result.cost_usd + judged_usd, judge_cost_usd=judged_usd)


def _judge(
    spec: EvaluateSpec,
    opened: Callable[[], Completer] | None,
    folder: Path,
    on_progress: OnProgress,
    *,
    again: bool,
) -> Judge | None:
    if spec.judge is None or opened is None:
        return None
    rows = spec.validation.rows

    def report(counted: Counted) -> None:
        progress = Progress(done=rows, total=rows, failed=0, tokens=0, judged=counted.done, to_judge=counted.total)
        on_progress(progress)

    return Judge(spec.judge, opened, folder / JUDGEMENTS, on_judged=report, again=again)


class _Asking:
    """The answers' file while it grows."""

    def __init__(self, path: Path, asked: str, requests: Sequence[CompletionRequest], on_progress: OnProgress) -> None:
        self._path = path
        self._asked = asked
        self._requests = requests
        self._report = on_progress

    async def ask(self, completer: Completer, *, retry_failed: bool) -> StoredAnswers:
        """Ask until every row has an answer or a failure, or until asking again brings nothing new."""
        file = await blocking(RowFile, self._path)
        try:
            while True:
                lines = await blocking(file.read)
                before = stored(lines, self._asked)
                keep = standing(lines, self._asked, len(self._requests), retry_failed=retry_failed)
                missing = [request for request in self._requests if request.id not in keep]
                if not missing:
                    return before
                came = await self._session(completer, missing, file, before, keep)
                if not came - before.answers.keys() and not retry_failed:
                    await self._give_up(file, before)
                retry_failed = False
        finally:
            await blocking(file.close)

    async def _session(
        self,
        completer: Completer,
        missing: Sequence[CompletionRequest],
        file: RowFile,
        before: StoredAnswers,
        keep: set[str],
    ) -> set[str]:
        """Ask for the missing rows once and store what comes; return the ids that came."""
        kept = [answer for id_, answer in before.answers.items() if id_ in keep]
        done, failed, tokens = len(kept), sum(a.failure is not None for a in kept), sum(a.output_tokens for a in kept)
        total, waiting, start = len(self._requests), {request.id for request in missing}, monotonic()
        self._report(Progress(done=done, total=total, failed=failed, tokens=tokens))
        answers = cast("AsyncGenerator[Answer, None]", completer.complete(missing))
        async with aclosing(answers):
            async for answer in answers:
                if answer.id not in waiting:
                    continue
                waiting.discard(answer.id)
                await blocking(file.append, [self._line(answer, before.sessions, monotonic() - start)])
                done, failed, tokens = done + 1, failed + (answer.failure is not None), tokens + answer.output_tokens
                self._report(Progress(done=done, total=total, failed=failed, tokens=tokens))
        return {request.id for request in missing} - waiting

    async def _give_up(self, file: RowFile, before: StoredAnswers) -> None:
        """Store the rows that nobody answers as failed; when there is no answer at all, the provider is at fault."""
        if not before.answers:
            raise UnavailableError("the provider ended the answers without giving one", where=str(self._path))
        silent = [request.id for request in self._requests if request.id not in before.answers]
        lines = [self._line(Answer(id=id_, failure=SILENT), before.sessions, 0.0) for id_ in silent]
        await blocking(file.append, lines)

    def _line(self, answer: Answer, session: int, elapsed_s: float) -> Line:
        return line_of(answer, asked=self._asked, session=session, elapsed_s=elapsed_s)


def _scored(dataset: Dataset, requests: Sequence[CompletionRequest], answers: StoredAnswers) -> list[Scored | None]:
    """Pair each row with its answer; None where the request failed."""
    rows: list[Scored | None] = []
    for row, request in zip(dataset.rows, requests, strict=True):
        answer = answers.answers[request.id]
        rows.append(
            None
            if answer.failure is not None
            else Scored(
                id=request.id,
                prompt=request.messages,
                expected=expected(row),
                answer=answer.text,
                finish_reason=answer.finish_reason,
                extra=row.extra,
            )
        )
    return rows


def _counted(
    job_id: str, label: str, total: int, stored_answers: StoredAnswers, conditions: dict[str, Any]
) -> EvaluationResult:
    answers = list(stored_answers.answers.values())
    given = [answer for answer in answers if answer.failure is None]
    tokens = sum(answer.output_tokens for answer in given)
    return EvaluationResult(
        job_id=job_id,
        model=label,
        n=total,
        failed=len(answers) - len(given),
        empty=sum(not answer.text.strip() for answer in given),
        cut=sum(answer.finish_reason == "length" for answer in given),
        endings=dict(Counter(ended for answer in given if (ended := answer.finish_reason) not in USUAL).most_common()),
        failures=dict(Counter(answer.failure for answer in answers if answer.failure is not None).most_common()),
        input_tokens=sum(answer.input_tokens for answer in answers),
        output_tokens=tokens,
        seconds=stored_answers.seconds,
        tokens_per_s=tokens / stored_answers.seconds if stored_answers.seconds > 0 and tokens else None,
        cost_usd=sum(answer.cost_usd for answer in answers),
        conditions=conditions,
    )


def _nothing(job_id: str, result: EvaluationResult) -> RefusedError:
    reason, times = next(iter(result.failures.items()))
    what = f"none of {result.n} prompts got an answer; {times} times: {reason}"
    return RefusedError(what, where=result.model, fix=f"mend that, then ask again: broker resume {job_id}")


def _conditions(spec: EvaluateSpec, model: ModelRef, metrics: Sequence[Metric], frozen: str) -> dict[str, Any]:
    return {
        "validation": spec.validation.name,
        "validation_sha256": frozen,
        "policy": spec.policy.name,
        "system": spec.policy.system,
        "decoding": dump(spec.decoding),
        "precision": model.precision,
        "encoder": (spec.encoder or PAPER_ENCODER) if any("encoder" in metric.needs for metric in metrics) else None,
        "model": dump(model),
        "judge": _told(spec.judge) if spec.judge is not None else None,
    }


def _told(judge: JudgeSpec) -> dict[str, Any]:
    """Return how the judge was asked; what its rubrics say stands in the metrics' versions."""
    asked = {"temperature": judge.temperature, "max_tokens": judge.max_tokens, "seed": judge.seed}
    return {"model": judge.label, "samples": judge.samples, **asked}
