"""Gathers what a results page is made of, beside its table: losses from the events, answers from their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from broker.api.engine import silent
from broker.api.table import judged_jobs, read_table
from broker.jobs.records import EventKind
from broker.jobs.spec import EvaluateSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from broker.api.engine import Report as Told
    from broker.evaluation import EvaluationResult
    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import Experiment, Job
    from broker.jobs.rows import Row
    from broker.jobs.store.protocol import Store
    from broker.results import Arrangement, Report, ResultsTable
    from broker.results.answers import AnswerBook, AnsweredPrompt, ModelAnswer
    from broker.results.figures import LossCurve

# What providers call the loss on rows that were held out.
_HELD_OUT = ("valid_loss", "validation_loss", "eval_loss")
_EVENTS_AT_ONCE = 5000


def read_report(
    store: Store,
    artifacts: Artifacts,
    data_dir: Path,
    experiment: Experiment,
    arrangement: Arrangement | None = None,
    answers: int | None = None,
    all_pairs: bool = False,
    report: Told = silent,
) -> Report:
    """Gather the page of an experiment from what is stored (blocking).

    Args:
        store: Knows the jobs.
        artifacts: Holds the validation set.
        data_dir: Holds the answers and scores.
        experiment: The experiment.
        arrangement: How its table is looked at.
        answers: Most prompts whose answers are taken; 200 when None.
        all_pairs: Compare every pair of models.
        report: As for `read_table`.
    """
    from broker.results import Arrangement, Report, arrange
    from broker.results.answers import DEFAULT_ROWS, AnswerBook, worth_reading

    most = DEFAULT_ROWS if answers is None else answers
    whole = read_table(store, artifacts, data_dir, experiment, all_pairs=all_pairs, report=report)
    table = arrange(whole, arrangement or Arrangement())
    book = _answers(judged_jobs(store, experiment.name), artifacts, data_dir, table) if most > 0 else AnswerBook()
    losses = tuple(curve for curve in _losses(store, table) if curve.training or curve.validation)
    return Report(table=table, losses=losses, answers=worth_reading(table, book, most))


def _losses(store: Store, table: ResultsTable) -> Iterator[LossCurve]:
    """Yield the loss of each tuning job once, under the first row that shows its model."""
    from broker.results.figures import LossCurve

    rows = {row.tune_job: row.key for row in reversed(table.rows) if row.tune_job is not None}
    for job, key in rows.items():
        training: dict[float, float] = {}
        held_out: dict[float, float] = {}
        # A job that began again tells a step twice; the last word counts.
        for data in _progress(store, job):
            _note(training, data, ("loss",))
            _note(held_out, data, _HELD_OUT)
        yield LossCurve(row=key, training=tuple(sorted(training.items())), validation=tuple(sorted(held_out.items())))


def _progress(store: Store, job: str) -> Iterator[Mapping[str, Any]]:
    after = 0
    while events := store.events(job, after=after, limit=_EVENTS_AT_ONCE):
        after = events[-1].seq
        yield from (event.data for event in events if event.kind is EventKind.PROGRESS)


def _note(points: dict[float, float], data: Mapping[str, Any], names: tuple[str, ...]) -> None:
    step = data.get("step")
    value = next((data[name] for name in names if isinstance(data.get(name), int | float)), None)
    if isinstance(step, int | float) and value is not None:
        points[float(step)] = float(value)


def _answers(jobs: list[Job], artifacts: Artifacts, data_dir: Path, table: ResultsTable) -> AnswerBook:
    """Return every prompt with the answers of the shown models to the table's own validation set."""
    from broker.jobs.datasets import frozen_hash, load_dataset
    from broker.results.answers import AnswerBook

    shown = {row.evaluation_job: row.key for row in table.rows if row.evaluation_job is not None and row.n is not None}
    own = table.conditions.get("validation_sha256")
    asked = [
        (job, job.spec)
        for job in jobs
        if job.id in shown and isinstance(job.spec, EvaluateSpec) and frozen_hash(job.spec.validation, artifacts) == own
    ]
    if not asked:
        return AnswerBook()
    dataset = load_dataset(asked[0][1].validation, artifacts)
    found = {shown[job.id]: _of_model(job, spec, data_dir) for job, spec in asked}
    prompts = tuple(_prompt(i, row, found) for i, row in enumerate(dataset.rows))
    return AnswerBook(prompts=prompts, total=len(prompts))


def _of_model(job: Job, spec: EvaluateSpec, data_dir: Path) -> dict[str, ModelAnswer]:
    """Return one model's answers by the row's id."""
    from broker.evaluation import load_result
    from broker.evaluation.answers import read_answers
    from broker.results.answers import ModelAnswer
    from broker.scheduler.evaluating import evaluation_folder

    folder = evaluation_folder(data_dir, job.id)
    model, result = job.model or spec.model, load_result(folder)
    if model is None or result is None:
        return {}
    stored = read_answers(folder, spec, model)
    return {
        id_: ModelAnswer(
            text=answer.text,
            failure=answer.failure,
            cut=answer.finish_reason == "length",
            scores=_scores(result, int(id_)),
        )
        for id_, answer in stored.answers.items()
    }


def _scores(result: EvaluationResult, index: int) -> dict[str, float | None]:
    return {
        name: metric.values[index] if index < len(metric.values) else None for name, metric in result.metrics.items()
    }


def _prompt(index: int, row: Row, found: Mapping[str, Mapping[str, ModelAnswer]]) -> AnsweredPrompt:
    from broker.evaluation.prompts import expected
    from broker.jobs.rows import ChatRow
    from broker.results.answers import AnsweredPrompt

    messages = row.prompt if isinstance(row, ChatRow) else row.messages
    return AnsweredPrompt(
        number=index + 1,
        question=tuple((str(message.get("role") or ""), _text(message.get("content"))) for message in messages),
        expected=expected(row),
        answers={key: answers[str(index)] for key, answers in found.items() if str(index) in answers},
    )


def _text(content: object) -> str:
    """Return a message's words; parts that are no text are named."""
    if isinstance(content, list):
        # The data set's own check lets no other parts in.
        return " ".join(_part(part) for part in cast("list[Mapping[str, Any]]", content))
    return "" if content is None else str(content)


def _part(part: Mapping[str, Any]) -> str:
    return str(part.get("text") or f"[{part.get('type')}]")
