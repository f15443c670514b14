"""The verbs about experiments: which there are, and their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.api.opened import Opened
from broker.api.report import read_report
from broker.api.table import read_table
from broker.errors import UnknownNameError
from broker.jobs.blocking import blocking

if TYPE_CHECKING:
    from broker.jobs.records import Experiment
    from broker.results import Arrangement, Report, ResultsTable


class Reading(Opened):
    """Experiments and their tables."""

    async def experiment(self, name: str | None = None) -> Experiment:
        """Return an experiment by name, or the newest that has a table: a synthesis alone has none."""
        if name is not None:
            return await blocking(self._store.experiment, name)
        found = await blocking(self._store.experiments)
        if not found:
            raise UnknownNameError("there are no experiments yet", fix="broker submit --help")
        return next((one for one in found if one.validation_sha256), found[0])

    async def experiments(self) -> list[Experiment]:
        """Return all experiments, newest first."""
        return await blocking(self._store.experiments)

    async def results(self, experiment: str | None = None, *, all_pairs: bool = False) -> ResultsTable:
        """Return the table of an experiment: every model on the same validation set.

        Args:
            experiment: Its name; the newest when None.
            all_pairs: Compare every pair of models, not only each with its base and with the best.
        """
        found = await self.experiment(experiment)
        artifacts = self._engine.artifacts
        return await blocking(
            read_table, self._store, artifacts, self.data_dir, found, all_pairs=all_pairs, report=self._report
        )

    async def report(
        self,
        experiment: str | None = None,
        *,
        all_pairs: bool = False,
        arrangement: Arrangement | None = None,
        answers: int | None = None,
    ) -> Report:
        """Return everything that a results page shows: the table, the losses, the answers side by side.

        Args:
            experiment: Its name; the newest when None.
            all_pairs: Compare every pair of models.
            arrangement: How the table is looked at.
            answers: Most prompts whose answers are taken, the worst and the most changed; 200 when None.

        Raises:
            SpecError: The arrangement names a column that the table does not have.
        """
        found = await self.experiment(experiment)
        store, artifacts = self._store, self._engine.artifacts
        look = (arrangement, answers, all_pairs, self._report)
        return await blocking(read_report, store, artifacts, self.data_dir, found, *look)
