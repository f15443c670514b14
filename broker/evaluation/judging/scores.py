"""The metric `judge:RUBRIC`: the mean of a judge's scores."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from broker.errors import UserError
from broker.evaluation.agreement import krippendorff_alpha, spread_within
from broker.evaluation.judging.prompts import PROMPT_VERSION, rubric_messages
from broker.evaluation.judging.reading import read_score
from broker.evaluation.judging.values import Judgement, Question
from broker.evaluation.metrics import Cost, Direction, Kind, MetricContext, Scored
from broker.evaluation.rubrics import find_rubric, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.evaluation.metrics import Judging

NO_JUDGE = "no model that judges is named"
NO_JUDGE_FIX = "--judge PROVIDER:MODEL, [judge] in the recipe, or [defaults.judge] in broker.toml"
# "the smallest acceptable reliability" for tentative conclusions (Krippendorff, Content Analysis, 2004, 11.4.2).
POOR_ALPHA = 0.667


class RubricJudge:
    """Scores of a model that judges each answer by a rubric, several times.

    A row's value is the mean of its judgements; a row without any has none. `details` says how far the judgements of
    a row agree.

    Source: the rubrics `empathy` and `relevance`, 0 to 10, after arXiv 2410.09168.
    """

    unit = ""
    kind = Kind.MEAN
    cost = Cost.PAID

    def __init__(self, context: MetricContext, argument: str = "") -> None:
        """Find the rubric.

        Args:
            context: The judge.
            argument: Name of a rubric, or its file.

        Raises:
            SpecError: There is no such rubric.
        """
        judge = context.judge
        self.rubric = find_rubric(argument, judge.spec.rubrics if judge else ())
        rubric = self.rubric
        self.name = f"judge:{rubric.name}"
        self.label = f"{rubric.name} ({rubric.low:g}–{rubric.high:g})"
        self.direction = Direction.LOWER if rubric.lower_is_better else Direction.HIGHER
        self.needs: tuple[str, ...] = ("judge", "expected") if rubric.needs_expected else ("judge",)
        self.version = f"rubric {rubric.name} {fingerprint(rubric)}, prompt {PROMPT_VERSION}"
        if judge is not None:
            drawn = f"{judge.spec.samples} samples at temperature {judge.spec.temperature:g}"
            self.version = f"judged by {judge.spec.label}, {drawn}, {self.version}"
        self.remarks: tuple[str, ...] = ()
        self.details: Mapping[str, float] = {}
        self._judge = judge
        self._own = judge is not None and context.model is not None and _same(judge, context)

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Have every answer judged, `samples` times.

        Raises:
            UserError: There is no judge.
            UnavailableError: The judge cannot answer now; what it said is stored.
            ProviderError: The judge refuses.
        """
        if self._judge is None:
            raise UserError(NO_JUDGE, fix=NO_JUDGE_FIX)
        judged = [row for row in rows if row.expected.strip() or not self.rubric.needs_expected]
        samples = self._judge.spec.samples
        asked = [self._question(row, sample) for row in judged for sample in range(samples)]
        said = await self._judge.ask(asked)
        of_row = {row.id: said[i * samples : (i + 1) * samples] for i, row in enumerate(judged)}
        scores = {id_: [one.value for one in found if one.failure is None] for id_, found in of_row.items()}
        self.details = agreement(list(scores.values()), samples)
        self.remarks = tuple(self._remarks(said))
        return [_mean(scores.get(row.id, [])) for row in rows]

    def _question(self, row: Scored, sample: int) -> Question:
        messages, schema = rubric_messages(self.rubric, row.prompt, row.answer, row.expected)
        return Question(
            about=f"rubric:{self.rubric.name}",
            row=row.id,
            sample=sample,
            messages=messages,
            schema=schema,
            read=partial(read_score, rubric=self.rubric),
        )

    def _remarks(self, said: Sequence[Judgement]) -> list[str]:
        name = self.rubric.name
        lines = [failed(said, name)] if any(one.failure is not None for one in said) else []
        alpha = self.details.get("Krippendorff's alpha")
        if alpha is not None and alpha < POOR_ALPHA:
            alike = "judgements of one answer differ nearly as much as those of different answers"
            lines.append(f"{name}: {alike}, so single rows say little (Krippendorff's alpha {alpha:.2f})")
        if self._own:
            lines.append(f"{name} is judged by the model itself, and models tend to prefer their own words")
        return lines


def agreement(rows: Sequence[Sequence[float]], samples: int) -> dict[str, float]:
    """Return how far the judgements of rows agree, by the names that the table shows.

    Args:
        rows: The scores of each row.
        samples: Judgements asked for each row.
    """
    several = [scores for scores in rows if len(scores) > 1]
    found: dict[str, float | None] = {
        "judgements a row": float(samples),
        "share of rows judged alike": _mean([float(len(set(scores)) == 1) for scores in several]),
        "spread within a row": spread_within(several),
        "Krippendorff's alpha": krippendorff_alpha(several),
    }
    return {name: value for name, value in found.items() if value is not None}


def failed(said: Sequence[Judgement], name: str) -> str:
    """Return in a sentence how many judgements are missing, and why."""
    reasons = Counter(one.failure for one in said if one.failure is not None)
    often = "; ".join(f"{times} × {reason}" for reason, times in reasons.most_common(2))
    return f"{sum(reasons.values())} of {len(said)} judgements of {name} are missing ({often})"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _same(judge: Judging, context: MetricContext) -> bool:
    model = context.model
    return model is not None and (model.provider, model.name) == (judge.spec.provider, judge.spec.model)
