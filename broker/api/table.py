"""Gathers what a results table is made of."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from broker.api.overlaps import DOCUMENT
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.evaluation import EvaluationResult
    from broker.jobs.records import Experiment, Job
    from broker.jobs.store.protocol import Store
    from broker.results import ResultsTable


def read_table(store: Store, data_dir: Path, experiment: Experiment, *, all_pairs: bool = False) -> ResultsTable:
    """Build the table of an experiment from what is stored.

    Args:
        store: Knows the jobs.
        data_dir: Holds the answers and scores.
        experiment: The experiment.
        all_pairs: Compare every pair of models.
    """
    from broker.api.kept import KeptTests
    from broker.evaluation.preference import load_preferences
    from broker.results import build_table

    jobs, evaluations = gather(store, data_dir, experiment)
    overlap = store.document(DOCUMENT, experiment.name) or {}
    preferences = load_preferences(data_dir, experiment.name)
    kept = KeptTests(data_dir / "results" / "tests" / f"{sha256(experiment.name.encode()).hexdigest()[:16]}.json")
    more: dict[str, Any] = {"preferences": preferences, "overlap": overlap, "test": kept}
    table = build_table(experiment, jobs, evaluations, all_pairs=all_pairs, **more)
    kept.save()
    return table


def gather(store: Store, data_dir: Path, experiment: Experiment) -> tuple[list[Job], dict[str, EvaluationResult]]:
    """Return the jobs of an experiment, those of others that it judges, and what its evaluations found.

    Args:
        store: Knows the jobs.
        data_dir: Holds the answers and scores.
        experiment: The experiment.
    """
    jobs = judged_jobs(store, experiment.name)
    return jobs, _evaluations(data_dir, jobs)


def judged_jobs(store: Store, experiment: str) -> list[Job]:
    """Return an experiment's jobs and the tuning jobs of others that it judges."""
    jobs = store.jobs(experiment=experiment)
    known = {job.id for job in jobs}
    judged = dict.fromkeys(getattr(job.spec, "tune_job", None) for job in jobs)
    return [*(store.job(job_id) for job_id in judged if job_id is not None and job_id not in known), *jobs]


def _evaluations(data_dir: Path, jobs: Sequence[Job]) -> dict[str, EvaluationResult]:
    from broker.evaluation import load_result
    from broker.scheduler.evaluating import evaluation_folder

    done = [job.id for job in jobs if job.kind is JobKind.EVALUATE and job.state is State.SUCCEEDED]
    found = {job_id: load_result(evaluation_folder(data_dir, job_id)) for job_id in done}
    return {job_id: result for job_id, result in found.items() if result is not None}
