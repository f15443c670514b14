"""Everything that a results page shows: the table, the losses, the answers. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.results.answers import AnswerBook
from broker.results.figures.making import SIMILARITY, bars, forest, losses, main_metric, size_curves
from broker.results.figures.values import LossCurve
from broker.results.values import ResultsTable

if TYPE_CHECKING:
    from broker.results.figures.values import Figure
    from broker.results.values import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An experiment as a page shows it.

    Attributes:
        table: Arranged or not.
        losses: Of its tuning jobs.
        answers: Prompts with the answers of all models.
    """

    table: ResultsTable
    losses: tuple[LossCurve, ...] = ()
    answers: AnswerBook = field(default_factory=AnswerBook)

    @property
    def metrics(self) -> tuple[Column, ...]:
        """Return the metrics that are shown."""
        chosen = self.table.arrangement.columns
        shown = tuple(column for column in self.table.columns if column.name in chosen)
        return shown or self.table.columns

    def figure(self, name: str, metric: str | None = None) -> Figure:
        """Return a figure by its name.

        Args:
            name: One of `FIGURES`.
            metric: What it shows; the main metric when None. `similarity` and `loss` show their own.
        """
        columns = {column.name: column for column in self.table.columns}
        column = columns[metric] if metric else main_metric(self.table)
        if name == "loss":
            return losses(self.table, self.losses)
        if name == SIMILARITY:
            return size_curves(self.table, columns.get(SIMILARITY), SIMILARITY)
        return {"bars": bars, "size": size_curves, "forest": forest}[name](self.table, column)


FIGURES = ("bars", "size", SIMILARITY, "loss", "forest")
