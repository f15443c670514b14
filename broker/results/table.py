"""From jobs and evaluations to the table. No I/O: the same input gives the same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.evaluation.families import with_holm
from broker.evaluation.metrics import Kind
from broker.evaluation.shares import compare_results
from broker.results.leakage import overlap_warnings, with_overlap
from broker.results.notes import conditions, expense_notes, notes, warnings
from broker.results.preferences import preference_notes, preference_warnings
from broker.results.ranking import PairTester, marked, plan_of, rank
from broker.results.rows import make_rows
from broker.results.values import Column, ResultsTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.evaluation.preference import PreferenceResult
    from broker.evaluation.record import EvaluationResult, MetricResult
    from broker.evaluation.statistics import PairTest
    from broker.jobs.records import Expense, Experiment, Job

OnTest = Callable[[int, int], None]

# Means up to these sizes (shares and cosines; scores of a scale to 10, nats) want so many decimals; others want one.
_DECIMALS = ((2.0, 3), (12.0, 2))


def build_table(
    experiment: Experiment,
    jobs: Sequence[Job],
    evaluations: Mapping[str, EvaluationResult],
    *,
    all_pairs: bool = False,
    preferences: Sequence[PreferenceResult] = (),
    expenses: Sequence[Expense] = (),
    overlap: Mapping[str, Any] | None = None,
    test: PairTester = compare_results,
    on_test: OnTest = lambda _done, _total: None,
) -> ResultsTable:
    """Build the results table of an experiment.

    Args:
        experiment: The experiment.
        jobs: Its jobs in any state (unfinished and failed ones get a row that says so), with the tuning jobs of other
            experiments whose models it judges.
        evaluations: Results by id of the evaluation.
        all_pairs: Compare every pair of models, instead of each with its base and with the best.
        preferences: What people and judges prefer.
        expenses: What was spent beside the jobs.
        overlap: Validation prompts in training data that were allowed, as they were kept.
        test: Compares two models in one metric; one that remembers saves time.
        on_test: Receives (done, total) after each comparison.

    Returns:
        Base models first, then tuned ones, each in the order asked for.
    """
    rows = with_overlap(make_rows(jobs, evaluations), overlap or {})
    results = {row.key: evaluations[row.key] for row in rows if row.key in evaluations}
    comparable = _comparable(experiment, results)
    columns = columns_of(results)
    found = {column.name: _taking_part(column, comparable) for column in columns}
    plans = [plan_of(column, rows, found[column.name], all_pairs=all_pairs) for column in columns]
    told = _Counted(test, on_test, sum(plan.tests for plan in plans))
    options: dict[str, Any] = {"all_pairs": all_pairs, "test": told}
    rankings = {column.name: rank(column, rows, found[column.name], **options) for column in columns}
    for column in columns:
        rows = [marked(row, column, rankings[column.name]) for row in rows]
    shared = conditions(experiment, results)
    preferred = with_holm(preferences)
    seen = tuple(ranking.detectable for ranking in rankings.values() if ranking.detectable is not None)
    return ResultsTable(
        experiment=experiment.name,
        columns=tuple(columns),
        rows=tuple(rows),
        comparisons=tuple(one for ranking in rankings.values() for one in ranking.comparisons),
        detectable=seen,
        preferences=tuple(preferred),
        expenses=tuple(expenses),
        conditions=shared,
        notes=(*notes(columns, rows, shared, seen), *preference_notes(preferred), *expense_notes(expenses)),
        warnings=(
            *overlap_warnings(rows, overlap or {}),
            *warnings(experiment, columns, rows, results, shared),
            *preference_warnings(preferred),
        ),
    )


def _comparable(experiment: Experiment, results: Mapping[str, EvaluationResult]) -> dict[str, EvaluationResult]:
    """Return the results that may be compared: the same questions, answered in the same way.

    The questions are the experiment's own (the first result's, where it names none); the decoding is the one that most
    of these results have.
    """
    hashes = [result.conditions.get("validation_sha256") for result in results.values()]
    own = experiment.validation_sha256 or (hashes[0] if hashes else None)
    asked = {key: each for key, each in results.items() if each.conditions.get("validation_sha256") == own}
    drawn = [each.conditions.get("decoding") for each in asked.values()]
    usual = max(drawn, key=drawn.count, default=None)
    return {key: each for key, each in asked.items() if each.conditions.get("decoding") == usual}


def columns_of(results: Mapping[str, EvaluationResult]) -> list[Column]:
    """Return the metrics of results, in the order asked for.

    Args:
        results: By row key.
    """
    found: dict[str, list[MetricResult]] = {}
    for result in results.values():
        for name, metric in result.metrics.items():
            found.setdefault(name, []).append(metric)
    return [_column(name, metrics) for name, metrics in found.items()]


def _column(name: str, metrics: Sequence[MetricResult]) -> Column:
    first = metrics[0]
    versions = dict.fromkeys(metric.version for metric in metrics if metric.failure is None)
    sizes = [abs(metric.value) for metric in metrics if metric.value is not None]
    fine = [decimals for size, decimals in _DECIMALS if first.kind is Kind.MEAN and sizes and max(sizes) < size]
    return Column(
        name=name,
        label=first.label,
        unit=first.unit,
        direction=first.direction,
        kind=first.kind,
        version="; ".join(versions) or first.version,
        mixed=len(versions) > 1,
        decimals=fine[0] if fine else 1,
    )


def _taking_part(column: Column, results: Mapping[str, EvaluationResult]) -> dict[str, MetricResult]:
    """Return the numbers of one metric that may be compared, by row key; none where they were made differently."""
    found = {
        key: metric
        for key, result in results.items()
        if (metric := result.metrics.get(column.name)) is not None and metric.failure is None
    }
    alike = len({len(metric.values) for metric in found.values()}) <= 1 and not column.mixed
    return found if alike else {}


class _Counted:
    """Compares pairs and tells how many are done."""

    def __init__(self, test: PairTester, tell: OnTest, total: int) -> None:
        self._test = test
        self._tell = tell
        self._total = total
        self._done = 0

    def __call__(self, left: MetricResult, right: MetricResult, *, interval: bool = True) -> PairTest:
        found = self._test(left, right, interval=interval)
        self._done += 1
        self._tell(self._done, self._total)
        return found
