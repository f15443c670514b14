"""The models of one experiment with every number of theirs: what pairs are compared and gates are held on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from broker.errors import UnknownNameError, UserError
from broker.evaluation.metrics import Direction
from broker.evaluation.record import EvaluationResult
from broker.results import wording
from broker.results.picking import pick_row
from broker.results.rows import make_rows
from broker.results.table import columns_of
from broker.results.values import Column, ResultRow, ResultsTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.record import MetricResult
    from broker.jobs.records import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Rows, results and metrics.

    Attributes:
        experiment: Its name.
        rows: Every model, finished or not.
        results: What was found, by row key; only of finished ones.
        columns: The metrics, in the order of the table.
    """

    experiment: str
    rows: tuple[ResultRow, ...]
    results: Mapping[str, EvaluationResult]
    columns: tuple[Column, ...]

    def pick(self, name: str) -> ResultRow:
        """Return the row that a person means.

        Raises:
            UnknownNameError: There is none.
            UserError: There are several.
        """
        return pick_row(ResultsTable(experiment=self.experiment, columns=(), rows=self.rows), name)

    def row(self, key: str) -> ResultRow:
        """Return a row by its key."""
        return next(row for row in self.rows if row.key == key)

    def base_of(self, row: ResultRow) -> ResultRow | None:
        """Return the row of a model's own base, of the conditions nearest to its own."""
        return self.row(row.bases[0]) if row.bases else None

    def column(self, name: str) -> Column:
        """Return a metric by its name or its label.

        Raises:
            UnknownNameError: No model was judged by it.
        """
        for column in self.columns:
            if name in (column.name, column.label):
                return column
        names = [column.name for column in self.columns]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        fix = f"{hint}judged here: {', '.join(names) or 'nothing yet'}"
        raise UnknownNameError(f"no model of {self.experiment} was judged by {name!r}", fix=fix)

    def scored(self, row: ResultRow, column: Column) -> MetricResult | None:
        """Return a row's numbers in a metric; None when there are none."""
        result = self.results.get(row.key)
        found = result.metrics.get(column.name) if result is not None else None
        return found if found is not None and found.failure is None and found.value is not None else None

    def why_unscored(self, row: ResultRow, column: Column) -> str:
        """Return why a row has no number in a metric."""
        result = self.results.get(row.key)
        if result is None:
            return f"{row.label} has no numbers: {wording.status(row) or 'it was not judged'}"
        found = result.metrics.get(column.name)
        if found is None:
            return f"{row.label} was not judged by {column.name}"
        if found.failure is not None:
            return f"{column.name} of {row.label} could not be computed: {wording.first_line(found.failure, 300)}"
        return f"no answer of {row.label} has a value in {column.name}"

    def best(self, column: Column, like: ResultRow) -> ResultRow | None:
        """Return the row with the best estimate among those that answered the same questions as another.

        Args:
            column: The metric; one where no way is better has no best.
            like: The other.
        """
        if column.direction is Direction.NONE:
            return None
        found = {
            row.key: one.value
            for row in self.rows
            if (one := self.scored(row, column)) is not None and not self.unlike(row, like, column)
        }
        known = {key: value for key, value in found.items() if value is not None}
        if not known:
            return None
        better = min if column.direction is Direction.LOWER else max
        return self.row(better(known, key=lambda key: known[key]))

    def unlike(self, left: ResultRow, right: ResultRow, column: Column | None = None) -> list[str]:
        """Return what stands against comparing two rows, in words; nothing when they can be compared.

        Args:
            left: One row.
            right: The other.
            column: In this metric; None asks for the questions only.
        """
        one, other = self.results.get(left.key), self.results.get(right.key)
        if one is None or other is None:
            return []
        told: list[str] = []
        if one.conditions.get("validation_sha256") != other.conditions.get("validation_sha256"):
            told.append(f"different validation sets: {_set(left, one)}, {_set(right, other)}")
        if one.conditions.get("decoding") != other.conditions.get("decoding"):
            told.append(f"different decodings: {_drawn(left, one)}; {_drawn(right, other)}")
        if column is not None and not told:
            versions = [result.metrics[column.name].version for result in (one, other) if column.name in result.metrics]
            if len(set(versions)) > 1:
                told.append(f"{column.name} was computed in different ways: {'; '.join(versions)}")
        return told

    def require_alike(self, left: ResultRow, right: ResultRow) -> None:
        """Raise `UserError` when two rows did not answer the same questions in the same way."""
        told = self.unlike(left, right)
        if told:
            fix = "broker eval --validation FILE --model … --model … judges both on one set, with one decoding"
            raise UserError(f"{left.label} and {right.label} cannot be compared: {'; '.join(told)}", fix=fix)


def make_roster(experiment: str, jobs: Sequence[Job], evaluations: Mapping[str, EvaluationResult]) -> Roster:
    """Return the roster of jobs (of one experiment or several) and what their evaluations found.

    Args:
        experiment: What messages call it.
        jobs: In any state, with the tuning jobs whose models they judge.
        evaluations: By id of the evaluation.
    """
    rows = make_rows(jobs, evaluations)
    results = {row.key: evaluations[row.key] for row in rows if row.key in evaluations}
    return Roster(experiment=experiment, rows=tuple(rows), results=results, columns=tuple(columns_of(results)))


def _set(row: ResultRow, result: EvaluationResult) -> str:
    conditions: Mapping[str, Any] = result.conditions
    return f"{row.label} on {conditions.get('validation')} ({str(conditions.get('validation_sha256'))[:12]})"


def _drawn(row: ResultRow, result: EvaluationResult) -> str:
    conditions: Mapping[str, Any] = result.conditions
    told = wording.decoding(conditions["decoding"]) if isinstance(conditions.get("decoding"), dict) else "unknown"
    return f"{row.label} {told}"
