"""Two models compared by a judge, prompt by prompt: which answer is better?

Each pair of answers is shown in both orders, each several times. One order alone says nothing: judges lean to the
answer that stands first, or last. So a judgement is two replies, and counts for a model only if both name it, else as a
tie; how often the order decided is reported. What opinions come to is said in `broker.evaluation.preference`.

Two answers that are the same are a tie; nobody is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from broker.evaluation.judging.prompts import PROMPT_VERSION, pairwise_messages
from broker.evaluation.judging.reading import FIRST, TIE, read_winner
from broker.evaluation.judging.scores import POOR_ALPHA
from broker.evaluation.judging.values import Question
from broker.evaluation.preference import Opinion, Pair, PreferenceResult, Source, Winner, weigh
from broker.evaluation.statistics import ALPHA, mcnemar_p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.judging.asking import Judge
    from broker.evaluation.judging.values import Judgement
    from broker.jobs.spec import JudgeSpec

_HABITS = ("agreement", "alpha", "position_bias", "swaps", "flips")
NO_ANSWER = "a model gave no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A prompt that both models were asked.

    Attributes:
        row: Id of the validation row.
        prompt: The messages that were sent.
        left: The left model's answer; None where its request failed.
        right: The right model's.
    """

    row: str
    prompt: tuple[Mapping[str, Any], ...]
    left: str | None
    right: str | None

    @property
    def same(self) -> bool:
        """Say whether both answers are the same text, but for white space."""
        return self.left is not None and self.right is not None and self.left.split() == self.right.split()

    @property
    def askable(self) -> bool:
        """Say whether there is something to ask a judge."""
        return self.left is not None and self.right is not None and not self.same


async def judge_pair(pair: Pair, rows: Sequence[Answered], judge: Judge, *, criterion: str = "") -> PreferenceResult:
    """Have a judge compare two models.

    Args:
        pair: Who is compared.
        rows: The prompts, with the answers of both.
        judge: Who judges; its replies are stored as they come and never asked again.
        criterion: What "better" means, in place of the broker's own sentence.

    Returns:
        The result, seen from the pair's left model.

    Raises:
        UnavailableError: The judge cannot answer now; what it said is stored.
        ProviderError: The judge refuses.
        StoreError: The disk refused.
    """
    looks = [look for row in rows if row.askable for look in _looks(row, judge.spec, criterion)]
    said = await judge.ask([look.question for look in looks])
    judged = list(zip(looks, said, strict=True))
    opinions = [_opinion(look, found) for look, found in judged if found.failure is None]
    even = [opinion for row in rows if row.same for opinion in _even(row, judge.spec)]
    result = weigh(pair, Source.JUDGE, judge.spec.label, [*opinions, *even], swapped=True, rows=len(rows))
    # Of what the judge was asked: that two equal texts are judged alike is no merit.
    asked = weigh(pair, Source.JUDGE, judge.spec.label, opinions, swapped=True)
    failures = Counter(found.failure for found in said if found.failure is not None)
    silent = sum(row.left is None or row.right is None for row in rows)
    return replace(
        result,
        **{name: getattr(asked, name) for name in _HABITS},
        failures=dict(failures.most_common()) | ({NO_ANSWER: silent} if silent else {}),
        cost_usd=await judge.paid([look.question for look in looks]),
        made_by=_made_by(judge.spec, criterion),
        remarks=tuple(_remarks(opinions, asked, sum(failures.values()), len(said))),
    )


def pair_questions(rows: Sequence[Answered], spec: JudgeSpec, criterion: str = "") -> list[Question]:
    """Return everything that a judge is asked about two models.

    Args:
        rows: The prompts, with the answers of both.
        spec: Who judges.
        criterion: As in `judge_pair`.
    """
    return [look.question for row in rows if row.askable for look in _looks(row, spec, criterion)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One question to the judge, and who stands where in it."""

    question: Question
    left_first: bool


def _looks(row: Answered, spec: JudgeSpec, criterion: str) -> list[_Look]:
    assert row.left is not None
    assert row.right is not None
    looks: list[_Look] = []
    for left_first in (True, False):
        shown = (row.left, row.right) if left_first else (row.right, row.left)
        messages, schema = pairwise_messages(row.prompt, *shown, criterion)
        for sample in range(spec.samples):
            question = Question(
                about="pairwise", row=row.row, sample=sample, messages=messages, schema=schema, read=read_winner
            )
            looks.append(_Look(question=question, left_first=left_first))
    return looks


def _opinion(look: _Look, found: Judgement) -> Opinion:
    named = str(found.value)
    winner = Winner.TIE if named == TIE else Winner.LEFT if (named == FIRST) == look.left_first else Winner.RIGHT
    question = look.question
    return Opinion(
        row=question.row, winner=winner, left_first=look.left_first, by=str(question.sample), reason=found.reason
    )


def _even(row: Answered, spec: JudgeSpec) -> list[Opinion]:
    said = "both answers are the same"
    return [
        Opinion(row=row.row, winner=Winner.TIE, left_first=left_first, by=str(sample), reason=said)
        for left_first in (True, False)
        for sample in range(spec.samples)
    ]


def _made_by(spec: JudgeSpec, criterion: str) -> dict[str, Any]:
    drawn = {"samples": spec.samples, "temperature": spec.temperature, "max_tokens": spec.max_tokens, "seed": spec.seed}
    return {**drawn, "prompt": PROMPT_VERSION, **({"criterion": criterion} if criterion else {})}


def _remarks(opinions: Sequence[Opinion], found: PreferenceResult, failed: int, asked: int) -> list[str]:
    lines = [f"{failed} of {asked} replies of the judge hold no verdict"] if failed else []
    decided = [one for one in opinions if one.winner is not Winner.TIE]
    first = sum((one.winner is Winner.LEFT) == one.left_first for one in decided)
    if mcnemar_p(first, len(decided) - first) < ALPHA:
        place = "first" if first * 2 > len(decided) else "second"
        share = max(first, len(decided) - first) / len(decided)
        lines.append(f"the judge leans to the answer shown {place} ({share:.0%} of its verdicts for one)")
    if found.alpha is not None and found.alpha < POOR_ALPHA:
        lines.append(f"the judge's verdicts on one prompt agree poorly (Krippendorff's alpha {found.alpha:.2f})")
    return lines
