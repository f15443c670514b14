"""What is voted on, and in which order and on which side each voter sees it. No I/O.

The sample of prompts depends on the seed alone, so the same vote can be begun again. Who sees which model on which side
depends on a secret of the vote as well: nobody who knows the seed can work out whose answer stands where.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from broker.evaluation.preference import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.providers.contract import Answer

CRITERION = "Which answer do you prefer?"
SEED = 713
# Of so many prompts in a row, half have the left model's answer first.
_BLOCK = 4
# A model's name of fewer letters is an ordinary word in too many answers.
_SHORTEST_NAME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of the conversation before the answer.

    Attributes:
        role: `user`, `assistant` or `tool`; system messages are not shown, because models may differ in theirs.
        text: What was said.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of the validation set.

    Attributes:
        row: Its id.
        turns: The conversation before the answer.
        expected: The expected answer.
    """

    row: str
    turns: tuple[Turn, ...]
    expected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotRow:
    """A question with two answers.

    Attributes:
        question: What was asked.
        left: The left model's answer.
        right: The right model's answer.
        mark: Hash of what is judged, so that a vote never counts for answers that nobody saw.
    """

    question: Question
    left: str
    right: str
    mark: str = field(init=False)

    @property
    def id(self) -> str:
        """Return the id of the validation row."""
        return self.question.row

    def __post_init__(self) -> None:
        """Make the mark."""
        turns = [[turn.role, turn.text] for turn in self.question.turns]
        # In alphabetical order: the same from either side.
        text = json.dumps([turns, *sorted((self.left, self.right))])
        mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        object.__setattr__(self, "mark", mark)  # frozen for everybody else


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a vote is about.

    Attributes:
        pair: Who is compared.
        criterion: The question that voters answer.
        every: All rows that can be voted on, in the order of the sample.
        asked: How many of them voters are asked.
        left_out: Rows that cannot be voted on, by reason.
        seed: Of the sample.
    """

    pair: Pair
    criterion: str
    every: tuple[BallotRow, ...]
    asked: int
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    seed: int = SEED

    @property
    def rows(self) -> tuple[BallotRow, ...]:
        """Return the rows that voters are asked."""
        return self.every[: self.asked]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One row as one voter sees it.

    Attributes:
        id: What the page calls it; says nothing about the row.
        row: The row.
        left_first: The left model's answer is "1".
    """

    id: str
    row: BallotRow
    left_first: bool

    @property
    def answers(self) -> tuple[str, str]:
        """Return answers "1" and "2"."""
        return (self.row.left, self.row.right) if self.left_first else (self.row.right, self.row.left)


def make_ballot(
    pair: Pair,
    questions: Sequence[Question],
    left: Mapping[str, Answer],
    right: Mapping[str, Answer],
    *,
    names: Iterable[str] = (),
    prompts: int | None = None,
    seed: int = SEED,
    criterion: str = CRITERION,
) -> Ballot:
    """Choose what is voted on.

    Args:
        pair: Who is compared.
        questions: The validation set.
        left: The left model's answers, by row.
        right: The right model's.
        names: Names of both models; rows in which one answer says such a name are left out.
        prompts: Most rows to ask; all when None.
        seed: Of the sample: with the same seed, fewer prompts are the first of more.
        criterion: The question that voters answer.
    """
    usable: list[BallotRow] = []
    left_out: Counter[str] = Counter()
    patterns = [_pattern(name) for name in sorted(set(names)) if len(name) >= _SHORTEST_NAME]
    for question in questions:
        answers = left.get(question.row), right.get(question.row)
        reason = _unfit(question, *answers, patterns)
        if reason:
            left_out[reason] += 1
        else:
            usable.append(BallotRow(question=question, left=_text(answers[0]), right=_text(answers[1])))
    Random(seed).shuffle(usable)
    asked = len(usable) if prompts is None else min(prompts, len(usable))
    return Ballot(pair=pair, criterion=criterion, every=tuple(usable), asked=asked, left_out=dict(left_out), seed=seed)


def presented(ballot: Ballot, secret: str, number: int) -> tuple[Shown, ...]:
    """Return what one voter sees, in order.

    Two voters in a row (0 and 1, 2 and 3, …) see the same order with the sides exchanged. Half of what a voter sees has
    the left model's answer first, and of every four prompts in a row two, so that nobody who stops early is out of
    balance.

    Args:
        ballot: What is voted on.
        secret: Of this vote.
        number: Which voter it is, from 0.
    """
    drawn = Random(f"{secret}:{ballot.seed}:{number // 2}")
    rows = drawn.sample(ballot.rows, len(ballot.rows))
    sides = _balanced(len(rows), drawn)
    return tuple(
        Shown(id=_opaque(secret, number, row), row=row, left_first=side is (number % 2 == 0))
        for row, side in zip(rows, sides, strict=True)
    )


def _balanced(length: int, drawn: Random) -> list[bool]:
    sides: list[bool] = []
    while len(sides) < length:
        size = min(_BLOCK, length - len(sides))
        block = [i % 2 == 0 for i in range(size - size % 2)] + [drawn.random() < 0.5] * (size % 2)
        drawn.shuffle(block)
        sides += block
    return sides


def _opaque(secret: str, number: int, row: BallotRow) -> str:
    return hashlib.sha256(f"{secret}:{number}:{row.id}".encode()).hexdigest()[:16]


def _unfit(
    question: Question, left: Answer | None, right: Answer | None, names: Sequence[re.Pattern[str]]
) -> str | None:
    """Say why a row cannot be voted on, if it cannot."""
    if left is None or right is None or left.failure is not None or right.failure is not None:
        return "a model gave no answer"
    if not left.text.strip() or not right.text.strip():
        return "an answer is empty"
    if left.text.split() == right.text.split():
        return "both answers are the same"
    asked = " ".join(turn.text for turn in question.turns)
    for name in names:
        if bool(name.search(left.text)) != bool(name.search(right.text)) and not name.search(asked):
            return "one answer names a model"
    return None


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def _text(answer: Answer | None) -> str:
    assert answer is not None
    return answer.text.strip()
