"""The verbs about blind votes: open one, count it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from broker.api.pairs import Pairs, answers_of, judged_by
from broker.errors import UserError
from broker.evaluation.families import in_family
from broker.evaluation.preference import (
    Pair,
    PreferenceResult,
    experiment_folder,
    load_preferences,
    pair_folder,
)
from broker.evaluation.prompts import expected
from broker.jobs.blocking import blocking
from broker.jobs.datasets import load_dataset
from broker.voting import CRITERION, SEED, Ballot, Booth, Question, Turn, VoteBook, make_ballot
from broker.voting.counting import count_votes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.jobs.rows import Dataset, Row
    from broker.results import ResultRow, ResultsTable

VOTES = "votes"
_UNSEEN = frozenset({"system", "developer"})


class Voting(Pairs):
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
        named = await self.named_pair(first, second, experiment)
        return await blocking(
            self._open,
            named.table,
            dict(zip((job.id for job in named.jobs), named.rows, strict=True)),
            list(named.jobs),
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
            prompts, seed = book.sample
            asked: dict[str, Any] = {"criterion": book.criterion, "prompts": prompts, "seed": seed}
            counted.append(await self.count_votes(await self.booth(first, second, name, **asked)))
        kept = await blocking(load_preferences, self.data_dir, name)  # each count changes the family of the others
        return [in_family(one, kept) for one in counted]

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
            validation_sha256=rows[left.id].validation_sha256,
        )
        dataset = load_dataset(judged_by(left).validation, self._engine.artifacts)
        ballot = make_ballot(
            pair,
            _questions(dataset),
            answers_of(left, self.data_dir),
            answers_of(right, self.data_dir),
            names=_names(jobs),
            **options,
        )
        _check_ballot(ballot)
        # Another question is another vote.
        mark = hashlib.sha256(ballot.criterion.encode()).hexdigest()[:12]
        book = VoteBook(pair_folder(self.data_dir, pair, VOTES) / mark, ballot.criterion, jobs[0].id)
        book.keep_sample(options["prompts"], options["seed"])
        return Booth(ballot, book, helped=helped, first=jobs[0].id)


def _books(folder: Path) -> list[VoteBook]:
    return [VoteBook(path.parent) for path in sorted(folder.glob("*--*/*/voters.jsonl"))]


def _check_ballot(ballot: Ballot) -> None:
    if not ballot.rows:
        why = ", ".join(f"{count} × {reason}" for reason, count in ballot.left_out.items()) or "no prompts"
        raise UserError(f"there is nothing to vote on: {why}", fix="name two rows whose answers differ")


def _names(jobs: list[Job]) -> set[str]:
    """Return the names of the models behind, whole and without their owner."""
    names = {model.name for job in jobs for model in (job.model, judged_by(job).model) if model is not None}
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
