"""What a results table holds: frozen values, made by `build_table`, shown by `render_table`, written by the exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Direction, Kind
from broker.evaluation.preference import PreferenceResult
from broker.jobs.records import Expense

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One metric of the table.

    Attributes:
        name: The metric's name.
        label: Its head.
        unit: `%`, `words`, … Numbers of proportions and ratios are kept as 0..1 and shown as percentages.
        direction: Which way is better.
        kind: Proportion, mean or ratio.
        version: What made the numbers; all of them when rows differ.
        mixed: Rows differ in what made their numbers, so they are not compared.
        decimals: Places after the point when shown.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    kind: Kind
    version: str
    mixed: bool = False
    decimals: int = 1

    @property
    def scale(self) -> float:
        """Return by what a number is multiplied to be in the unit shown."""
        return 100.0 if self.kind.percentage else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One metric of one model.

    Attributes:
        value: The estimate; None when there is none.
        low: Lower end of the 95 % interval.
        high: Upper end.
        scored: Rows with a value.
        unscored: Rows with an answer but without a value.
        best: The best estimate of its column.
        tied: Not told apart from the best.
        letters: Rows that share a letter in a column cannot be told apart; empty when not computed.
        failure: Why there is no value.
        details: Further numbers by name, such as how far judgements agree.
        breakdown: Counts by name, as `MetricResult.breakdown`.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    scored: int = 0
    unscored: int = 0
    best: bool = False
    tied: bool = False
    letters: str = ""
    failure: str | None = None
    details: Mapping[str, float] = field(default_factory=dict[str, float])
    breakdown: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two rows compared in one metric on the same prompts.

    Attributes:
        metric: The metric.
        left: Key of one row.
        right: Key of the other.
        against: `base` (left's own base), `best`, or `other`.
        n: Prompts on which both have a value.
        difference: Left minus right (proportions: 0..1).
        low: Lower end of its 95 % interval; None when not computed.
        high: Upper end.
        p: Two-sided p value of the paired test.
        p_adjusted: After Holm, over the comparisons of the same metric and family.
        different: Told apart: `p_adjusted` under 0.05.
        effect: Cohen's h (proportions) or d of the differences (means).
        spread: Share of prompts that differ (proportions) or standard deviation of the differences (means).
        detectable: The smallest true difference that this comparison would have found in four of five cases.
        method: The test.
    """

    metric: str
    left: str
    right: str
    against: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float
    p_adjusted: float
    different: bool
    effect: float | None
    spread: float | None
    detectable: float | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """The smallest true difference that the table could have shown, and that 1,000 prompts would show.

    Attributes:
        metric: The metric.
        n: Prompts compared.
        now: With n prompts; None when no difference can be shown with so few.
        with_1000: With 1,000 prompts.
    """

    metric: str
    n: int
    now: float | None
    with_1000: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One model.

    Attributes:
        key: Id of the evaluation, or of the tuning job that has none yet.
        label: What a person calls it.
        kind: `base` or `tuned`.
        provider: The account.
        model: The base model's name.
        method: `sft`, `dpo`; empty for bases.
        precision: Of the base's weights; empty when the provider does not say.
        policy: Name of the prompt policy.
        rows_trained: Training rows; None for bases.
        parameters: Of the tuning job.
        state: Of the work that is not done yet, or `succeeded`.
        stage: `tuning` or `evaluation`: which work `state` is about.
        detail: Why it failed, or what is missing.
        n: Validation prompts asked; None before the evaluation.
        failed: Prompts without an answer.
        empty: Answers without a word.
        cut: Answers that reached the token limit.
        overlap: Validation prompts that its own training data are known to hold.
        validation_sha256: The validation set that it answered; empty before the evaluation.
        cells: By metric.
        train_s: Seconds of training.
        eval_s: Seconds of asking.
        tokens_per_s: Output tokens per second of the evaluation.
        train_cost_usd: What the training cost; None when unknown.
        eval_cost_usd: What the answers cost, and the judge; None when unknown.
        judge_cost_usd: What the judge cost of that.
        bases: Keys of the rows that show its own base, nearest conditions first.
        tune_job: Id of the tuning job.
        evaluation_job: Id of the evaluation.
    """

    key: str
    label: str
    kind: str
    provider: str
    model: str
    method: str = ""
    precision: str = ""
    policy: str = "as-is"
    rows_trained: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: str = "succeeded"
    stage: str = "evaluation"
    detail: str = ""
    n: int | None = None
    failed: int = 0
    empty: int = 0
    cut: int = 0
    overlap: int = 0
    validation_sha256: str = ""
    cells: Mapping[str, Cell] = field(default_factory=dict[str, Cell])
    train_s: float | None = None
    eval_s: float | None = None
    tokens_per_s: float | None = None
    train_cost_usd: float | None = None
    eval_cost_usd: float | None = None
    judge_cost_usd: float = 0.0
    bases: tuple[str, ...] = ()
    tune_job: str | None = None
    evaluation_job: str | None = None

    @property
    def done(self) -> bool:
        """Say whether the model was tuned and evaluated."""
        return self.state == "succeeded"

    @property
    def cost_usd(self) -> float | None:
        """Return training (here) and evaluation together; None when a part of what was done is unknown."""
        parts = [self.eval_cost_usd] if self.tune_job is None else [self.train_cost_usd, self.eval_cost_usd]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) or (known and not self.done) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """How a table is looked at; no number of it changes.

    Attributes:
        sort: `COLUMN`, `COLUMN:asc` or `COLUMN:desc`; empty keeps the order of the table.
        filters: Expressions such as `precision=int8`; a row is shown when all of them hold.
        group: Rows with the same value of this column stand together, under a head.
        columns: Which columns to show, in this order; empty shows the usual ones.
    """

    sort: str = ""
    filters: tuple[str, ...] = ()
    group: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows that stand together under a head.

    Attributes:
        title: The head; empty where a table has no heads.
        rows: In the order shown.
    """

    title: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsTable:
    """The table of one experiment.

    Attributes:
        experiment: Its name.
        columns: The metrics.
        rows: Bases first, unless it was arranged.
        comparisons: Every pair that was tested.
        detectable: By metric: what could have been seen.
        preferences: What people and judges prefer, by pair of models.
        expenses: What was spent beside the jobs: judges that compared two models.
        conditions: What holds for every row: validation set and hash, prompts, policies, decoding, encoder.
        notes: Sentences to show under the table.
        warnings: Sentences that a reader must not miss.
        arrangement: How it is looked at.
        hidden: Rows that a filter left out; marks, letters and comparisons are those of all rows.
        sections: The rows under the heads of their group; empty when they are not grouped.
    """

    experiment: str
    columns: tuple[Column, ...]
    rows: tuple[ResultRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    detectable: tuple[Detectable, ...] = ()
    preferences: tuple[PreferenceResult, ...] = ()
    expenses: tuple[Expense, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    arrangement: Arrangement = field(default_factory=Arrangement)
    hidden: tuple[ResultRow, ...] = ()
    sections: tuple[Section, ...] = ()

    def row(self, key: str) -> ResultRow:
        """Return a row by its key, shown or not.

        Raises:
            KeyError: There is none.
        """
        return next((row for row in (*self.rows, *self.hidden) if row.key == key), None) or _missing(key)

    def __rich__(self) -> RenderableType:
        """Return what `rich.print` shows."""
        from broker.results.render import render_table

        return render_table(self)

    def __str__(self) -> str:
        """Return the table as text, 160 columns wide, without colours."""
        from broker.results.render import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from broker.results.page import to_html

        return to_html(self)


def _missing(key: str) -> ResultRow:
    raise KeyError(key)
