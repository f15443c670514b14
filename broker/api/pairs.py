"""Two models of one experiment that answered the same prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.api.reading import Reading
from broker.errors import UserError
from broker.evaluation.answers import read_answers
from broker.jobs.blocking import blocking
from broker.jobs.records import Job
from broker.jobs.spec import EvaluateSpec
from broker.results import ResultRow, ResultsTable
from broker.results.picking import pick_row
from broker.scheduler.evaluating import evaluation_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.providers.contract import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Two rows of a table, as a person named them.

    Attributes:
        table: The experiment's table.
        rows: Both rows.
        jobs: Their evaluations, ended, on the same validation set.
    """

    table: ResultsTable
    rows: tuple[ResultRow, ResultRow]
    jobs: tuple[Job, Job]


class Pairs(Reading):
    """Finds two models that can be compared."""

    async def named_pair(self, first: str, second: str, experiment: str | None = None) -> Named:
        """Return the two rows that names mean.

        Args:
            first: A row of the experiment's table: its label, its model, or the id (or its beginning) of a job.
            second: Another one.
            experiment: Name of the experiment; the newest when None.

        Raises:
            UserError: A name means none or several, or the two cannot be compared.
        """
        table = await self.results(experiment)
        one, other = (pick_row(table, name) for name in (first, second))
        jobs = await self._evaluated(one), await self._evaluated(other)
        _check_pair((one, other), jobs)
        return Named(table=table, rows=(one, other), jobs=jobs)

    async def _evaluated(self, row: ResultRow) -> Job:
        if row.evaluation_job is None or not row.done:
            raise UserError(
                f"{row.label} has no answers yet: {row.state}", fix=f"broker watch {row.evaluation_job or row.key}"
            )
        return await blocking(self._store.job, row.evaluation_job)


def answers_of(job: Job, data_dir: Path) -> Mapping[str, Answer]:
    """Return the stored answers of an evaluation, by row (blocking).

    Args:
        job: The evaluation, ended.
        data_dir: The broker's data folder.
    """
    spec = judged_by(job)
    model = job.model or spec.model
    assert model is not None
    return read_answers(evaluation_folder(data_dir, job.id), spec, model).answers


def judged_by(job: Job) -> EvaluateSpec:
    """Return what an evaluation was asked for."""
    assert isinstance(job.spec, EvaluateSpec)
    return job.spec


def _check_pair(rows: tuple[ResultRow, ResultRow], jobs: tuple[Job, Job]) -> None:
    one, other = jobs
    if one.id == other.id:
        raise UserError(f"{rows[0].label} cannot be compared with itself", fix="name two rows of the table")
    sets = [judged_by(job).validation for job in jobs]
    if rows[0].validation_sha256 != rows[1].validation_sha256:
        what = " and ".join(f"{row.label}: {each.name}" for row, each in zip(rows, sets, strict=True))
        raise UserError(
            f"the two answered different validation sets ({what})", fix="name two rows that answered the same one"
        )
