"""Ballots of any size, and voters who vote as they are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from broker.evaluation.preference import Pair
from broker.providers.contract import Answer
from broker.voting import Ballot, Choice, Question, Turn, Vote, make_ballot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

START = datetime(2026, 11, 21, tzinfo=UTC)
PAIR = Pair(experiment="tone", left="eval-a", right="eval-b", left_label="Frida-7B", right_label="Otto-8B")


def questions(count: int) -> list[Question]:
    return [Question(row=str(i), turns=(Turn(role="user", text=f"Question {i}?"),)) for i in range(count)]


def answers(count: int, word: str) -> dict[str, Answer]:
    return {str(i): Answer(id=str(i), text=f"{word} answer {i}.") for i in range(count)}


def ballot(count: int = 20, **options: Any) -> Ballot:
    """Return a ballot of so many rows: the left model says "warm", the right one "cool"."""
    return make_ballot(PAIR, questions(count), answers(count, "warm"), answers(count, "cool"), **options)


def votes(made: Ballot, wins: Mapping[str, Iterable[str]]) -> list[Vote]:
    """Return one vote for each letter: `{"ann": "lr=-"}` is left, right, tie, skip on the first four rows."""
    cast: list[Vote] = []
    for voter, letters in wins.items():
        for i, (row, letter) in enumerate(zip(made.every, letters, strict=False)):
            left_first = i % 2 == 0
            side = Choice.FIRST if (letter == "l") == left_first else Choice.SECOND
            choice = {"=": Choice.TIE, "-": Choice.SKIP}.get(letter, side)
            number = len(cast)
            cast.append(
                Vote(
                    id=str(number),
                    voter=voter,
                    row=row.id,
                    mark=row.mark,
                    left_first=left_first,
                    choice=choice,
                    ms=4000 + number,
                    at=START + timedelta(seconds=number),
                )
            )
    return cast
