"""The answers of all models side by side, and which prompts are worth reading first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING

from broker.evaluation.metrics import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from broker.results.values import Column, ResultsTable

DEFAULT_ROWS = 200
# A page of more text than this is slow to open, whatever was asked for.
MOST_CHARACTERS = 12_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What one model said to one prompt.

    Attributes:
        text: Its words.
        failure: Why there is no answer.
        cut: It reached the token limit.
        scores: By metric, as scored (proportions 0 or 1); None where there is none.
    """

    text: str = ""
    failure: str | None = None
    cut: bool = False
    scores: Mapping[str, float | None] = field(default_factory=dict[str, float | None])


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPrompt:
    """One row of the validation set with every model's answer.

    Attributes:
        number: Of the row, from 1.
        question: (role, text) of the messages asked, as the row has them.
        expected: The expected answer.
        answers: By row key of the table.
    """

    number: int
    question: tuple[tuple[str, str], ...]
    expected: str
    answers: Mapping[str, ModelAnswer]

    @property
    def characters(self) -> int:
        """Return how much text it is."""
        asked = sum(len(text) for _, text in self.question) + len(self.expected)
        return asked + sum(len(answer.text) + len(answer.failure or "") + 40 for answer in self.answers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBook:
    """Prompts with the answers of all models.

    Attributes:
        prompts: Those kept, in the order of the validation set.
        total: How many the validation set has.
    """

    prompts: tuple[AnsweredPrompt, ...] = ()
    total: int = 0


def worth_reading(
    table: ResultsTable, book: AnswerBook, rows: int = DEFAULT_ROWS, characters: int = MOST_CHARACTERS
) -> AnswerBook:
    """Return the book with the prompts that tell most: by each metric in turn the worst and the most changed.

    Args:
        table: Which models are tuned, and which are their bases.
        book: All prompts.
        rows: How many to keep at most.
        characters: How much text to keep at most.
    """
    if rows >= len(book.prompts) and sum(prompt.characters for prompt in book.prompts) <= characters:
        return book
    kept: list[AnsweredPrompt] = []
    room = characters
    for prompt in _in_turn(_orders(table, book)):
        if len(kept) >= rows or prompt.characters > room:
            break
        kept.append(prompt)
        room -= prompt.characters
    return replace(book, prompts=tuple(sorted(kept, key=lambda prompt: prompt.number)))


def _orders(table: ResultsTable, book: AnswerBook) -> list[list[AnsweredPrompt]]:
    """Return the prompts in several orders, most telling first; in their own order where no metric has a better way."""
    orders: list[list[AnsweredPrompt]] = []
    for column in table.columns:
        if column.direction is not Direction.NONE:
            for ease in (_goodness(table, column), _sameness(table, column)):
                orders.append(sorted(book.prompts, key=ease))
    return orders or [list(book.prompts)]


def _in_turn(orders: Sequence[Sequence[AnsweredPrompt]]) -> Iterator[AnsweredPrompt]:
    seen: set[int] = set()
    for turn in zip(*orders, strict=True):
        for prompt in turn:
            if prompt.number not in seen:
                seen.add(prompt.number)
                yield prompt


def _goodness(table: ResultsTable, column: Column) -> Callable[[AnsweredPrompt], float]:
    """Return how well tuned models (all, where none is tuned) do at a prompt; a missing answer is the worst."""
    keys = [row.key for row in table.rows if row.kind == "tuned"] or [row.key for row in table.rows]
    sign = -1.0 if column.direction is Direction.LOWER else 1.0

    def goodness(prompt: AnsweredPrompt) -> float:
        answers = [prompt.answers[key] for key in keys if key in prompt.answers]
        if any(answer.failure for answer in answers):
            return float("-inf")
        scores = [score for answer in answers if (score := answer.scores.get(column.name)) is not None]
        return sign * fmean(scores) if scores else float("inf")

    return goodness


def _sameness(table: ResultsTable, column: Column) -> Callable[[AnsweredPrompt], float]:
    """Return how little tuned models changed a prompt's score, against their own bases."""
    pairs = [(row.key, row.bases[0]) for row in table.rows if row.bases]

    def sameness(prompt: AnsweredPrompt) -> float:
        nothing = ModelAnswer()
        changes = [
            abs(tuned - base)
            for key, other in pairs
            if (tuned := prompt.answers.get(key, nothing).scores.get(column.name)) is not None
            and (base := prompt.answers.get(other, nothing).scores.get(column.name)) is not None
        ]
        return -fmean(changes) if changes else float("inf")

    return sameness
