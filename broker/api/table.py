"""Gathers what a results table is made of."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import sha256
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from broker.api.engine import silent
from broker.api.frozen import own_set
from broker.api.overlaps import DOCUMENT
from broker.jobs.spec import EvaluateSpec
from broker.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from broker.api.engine import Report
    from broker.evaluation import EvaluationResult
    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import Experiment, Job
    from broker.jobs.store.protocol import Store
    from broker.results import ResultsTable


# Who is to wait no longer than this is told nothing, seconds.
_PATIENCE_S = 1.0


def read_table(
    store: Store,
    artifacts: Artifacts,
    data_dir: Path,
    experiment: Experiment,
    *,
    all_pairs: bool = False,
    report: Report = silent,
) -> ResultsTable:
    """Build the table of an experiment from what is stored.

    Args:
        store: Knows the jobs.
        artifacts: Holds the validation sets.
        data_dir: Holds the answers and scores.
        experiment: The experiment.
        all_pairs: Compare every pair of models.
        report: Receives (text, done, total) where comparing takes its time.
    """
    from broker.api.kept import KeptTests
    from broker.evaluation.preference import load_preferences
    from broker.results import build_table

    jobs, evaluations = gather(store, artifacts, data_dir, experiment)
    frozen = replace(experiment, validation_sha256=own_set(experiment, jobs, artifacts))
    overlap = store.document(DOCUMENT, experiment.name) or {}
    preferences = load_preferences(data_dir, experiment.name)
    kept = KeptTests(data_dir / "results" / "tests" / f"{sha256(experiment.name.encode()).hexdigest()[:16]}.json")
    spent = store.expenses(experiment.name)
    more: dict[str, Any] = {"preferences": preferences, "expenses": spent, "overlap": overlap, "test": kept}
    told = _Patient(partial(report, f"comparing {len(evaluations)} models"))
    table = build_table(frozen, jobs, evaluations, all_pairs=all_pairs, on_test=told, **more)
    kept.save()
    return table


class _Patient:
    """Tells how far something is, unless it is done soon."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell = tell
        self._seconds: list[float] = []
        self._last = monotonic()
        self._told = False

    def __call__(self, done: int, total: int) -> None:
        now = monotonic()
        self._seconds.append(now - self._last)
        self._last = now
        # The median, because some steps load a library first.
        soon = median(self._seconds) * (total - done) < _PATIENCE_S
        self._told = self._told or (len(self._seconds) > 2 and not soon)
        if self._told:
            self._tell(done, total)


def gather(
    store: Store, artifacts: Artifacts, data_dir: Path, experiment: Experiment
) -> tuple[list[Job], dict[str, EvaluationResult]]:
    """Return the jobs of an experiment, those of others that it judges, and what its evaluations found.

    Args:
        store: Knows the jobs.
        artifacts: Holds the validation sets.
        data_dir: Holds the answers and scores.
        experiment: The experiment.
    """
    jobs = judged_jobs(store, experiment.name)
    return jobs, _evaluations(artifacts, data_dir, jobs)


def judged_jobs(store: Store, experiment: str) -> list[Job]:
    """Return an experiment's jobs and the tuning jobs of others that it judges."""
    jobs = store.jobs(experiment=experiment)
    known = {job.id for job in jobs}
    judged = dict.fromkeys(getattr(job.spec, "tune_job", None) for job in jobs)
    return [*(store.job(job_id) for job_id in judged if job_id is not None and job_id not in known), *jobs]


def _evaluations(artifacts: Artifacts, data_dir: Path, jobs: Sequence[Job]) -> dict[str, EvaluationResult]:
    from broker.evaluation import load_result
    from broker.jobs.datasets import frozen_hash
    from broker.scheduler.evaluating import evaluation_folder

    found: dict[str, EvaluationResult] = {}
    for job in jobs:
        if isinstance(job.spec, EvaluateSpec) and job.state is State.SUCCEEDED:
            result = load_result(evaluation_folder(data_dir, job.id))
            if result is not None:
                # Said anew: an older broker's file has the hash of the rows alone.
                frozen = {"validation_sha256": frozen_hash(job.spec.validation, artifacts)}
                found[job.id] = replace(result, conditions={**result.conditions, **frozen})
    return found
