"""The verbs about blind votes: open one, count it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from broker.api.reading import Reading
from broker.errors import UserError
from broker.evaluation.answers import read_answers
from broker.evaluation.preference import Pair, PreferenceResult, experiment_folder, pair_folder
from broker.evaluation.prompts import expected
from broker.jobs.blocking import blocking
from broker.jobs.datasets import load_dataset
from broker.jobs.spec import EvaluateSpec
from broker.results.picking import pick_row
from broker.scheduler.evaluating import evaluation_folder
from broker.voting import CRITERION, SEED, Ballot, Booth, Question, Turn, VoteBook, make_ballot
from broker.voting.counting import count_votes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.jobs.rows import Dataset, Row
    from broker.providers.contract import Answer
    from broker.results import ResultRow, ResultsTable

VOTES = "votes"
_UNSEEN = frozenset({"system", "developer"})


class Voting(Reading):
    """Blind votes on two models of an experiment."""

    async def booth(
        self,
        first: str,
        second: str,
        experiment: str | None = None,
        *,
        prompts: int | None = None,
        seed: int = SEED,
        criterion: str = CRITERION,
        show_expected: bool = False,
    ) -> Booth:
        """Open the vote on two models, or go on with it: the same two and the same criterion are the same vote.

        Args:
            first: A row of the experiment's table: its label, its model, or the id (or its beginning) of a job.
            second: Another one.
            experiment: Name of the experiment; the newest when None.
            prompts: How many prompts voters are asked; all when None.
            seed: Chooses which.
            criterion: The question that voters answer.
            show_expected: Voters see the expected answer too.

        Returns:
            What a server, a terminal or a program votes with; it holds nothing of this broker.

        Raises:
            UserError: The rows cannot be compared, or there is nothing to vote on.
        """
        table = await self.results(experiment)
        rows = [pick_row(table, name) for name in (first, second)]
        jobs = [await self._evaluated(row) for row in rows]
        _check_pair(rows, jobs)
        return await blocking(
            self._open,
            table,
            dict(zip((job.id for job in jobs), rows, strict=True)),
            jobs,
            {"prompts": prompts, "seed": seed, "criterion": " ".join(criterion.split()) or CRITERION},
            helped=show_expected,
        )

    async def count_votes(self, booth: Booth) -> PreferenceResult:
        """Count the votes cast so far and keep the result for the experiment's table.

        Args:
            booth: From `booth`.

        Returns:
            Seen from the model that was named first.
        """
        return await blocking(count_votes, booth, self.data_dir)

    async def count_all_votes(self, experiment: str | None = None) -> list[PreferenceResult]:
        """Count every vote of an experiment anew, and keep the results for its table.

        Args:
            experiment: Its name; the newest when None.

        Returns:
            One result for each pair of models and question, in the order of their folders.
        """
        name = (await self.experiment(experiment)).name
        books = await blocking(_books, experiment_folder(self.data_dir, name, VOTES))
        counted: list[PreferenceResult] = []
        for book in books:
            left, _, right = book.folder.parent.name.partition("--")
            first, second = (right, left) if book.first == right else (left, right)
            counted.append(await self.count_votes(await self.booth(first, second, name, criterion=book.criterion)))
        return counted

    async def _evaluated(self, row: ResultRow) -> Job:
        if row.evaluation_job is None or not row.done:
            raise UserError(
                f"{row.label} has no answers yet: {row.state}", fix=f"broker watch {row.evaluation_job or row.key}"
            )
        return await blocking(self._store.job, row.evaluation_job)

    def _open(
        self,
        table: ResultsTable,
        rows: Mapping[str, ResultRow],
        jobs: list[Job],
        options: Mapping[str, Any],
        *,
        helped: bool,
    ) -> Booth:
        left, right = sorted(jobs, key=lambda job: job.id)
        pair = Pair(
            experiment=table.experiment,
            left=left.id,
            right=right.id,
            left_label=rows[left.id].label,
            right_label=rows[right.id].label,
            validation_sha256=_spec(left).validation.sha256,
        )
        dataset = load_dataset(_spec(left).validation, self._engine.artifacts)
        ballot = make_ballot(
            pair, _questions(dataset), self._answers(left), self._answers(right), names=_names(jobs), **options
        )
        _check_ballot(ballot)
        # Another question is another vote.
        mark = hashlib.sha256(ballot.criterion.encode()).hexdigest()[:12]
        book = VoteBook(pair_folder(self.data_dir, pair, VOTES) / mark, ballot.criterion, jobs[0].id)
        return Booth(ballot, book, helped=helped, first=jobs[0].id)

    def _answers(self, job: Job) -> Mapping[str, Answer]:
        spec = _spec(job)
        model = job.model or spec.model
        assert model is not None
        return read_answers(evaluation_folder(self.data_dir, job.id), spec, model).answers


def _books(folder: Path) -> list[VoteBook]:
    return [VoteBook(path.parent) for path in sorted(folder.glob("*--*/*/voters.jsonl"))]


def _spec(job: Job) -> EvaluateSpec:
    assert isinstance(job.spec, EvaluateSpec)
    return job.spec


def _check_pair(rows: list[ResultRow], jobs: list[Job]) -> None:
    one, other = jobs
    if one.id == other.id:
        raise UserError(f"{rows[0].label} cannot be compared with itself", fix="name two rows of the table")
    sets = [_spec(job).validation for job in jobs]
    if sets[0].sha256 != sets[1].sha256:
        what = " and ".join(f"{row.label}: {each.name}" for row, each in zip(rows, sets, strict=True))
        raise UserError(
            f"the two answered different validation sets ({what})", fix="name two rows that answered the same one"
        )


def _check_ballot(ballot: Ballot) -> None:
    if not ballot.rows:
        why = ", ".join(f"{count} × {reason}" for reason, count in ballot.left_out.items()) or "no prompts"
        raise UserError(f"there is nothing to vote on: {why}", fix="name two rows whose answers differ")


def _names(jobs: list[Job]) -> set[str]:
    """Return the names of the models behind, whole and without their owner."""
    names = {model.name for job in jobs for model in (job.model, _spec(job).model) if model is not None}
    return names | {name.rpartition("/")[2] for name in names}


def _questions(dataset: Dataset) -> list[Question]:
    return [
        Question(row=str(i), turns=tuple(_turns(row)), expected=expected(row)) for i, row in enumerate(dataset.rows)
    ]


def _turns(row: Row) -> list[Turn]:
    from broker.jobs.rows import ChatRow

    said = row.prompt if isinstance(row, ChatRow) else row.messages
    return [
        Turn(role=str(message["role"]), text=str(message.get("content") or ""))
        for message in said
        if message["role"] not in _UNSEEN
    ]
