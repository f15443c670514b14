"""What jobs and answers cost, by the catalog. Unknown is not free; a server on the same machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.providers.contract import Estimate
from broker.providers.openai_tuning.checks import KIND
from broker.providers.prices import ALLOWANCE, AnswerPrices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.catalog import Catalog
    from broker.jobs.spec import TuneSpec
    from broker.providers.openai_tuning.connection import Connection

# OpenAI's "auto" number of epochs: 3 for most files, between 1 and 10 for very large or very small ones.
_AUTO_EPOCHS = (1, 10)


class Prices:
    """The prices of one account."""

    def __init__(self, catalog: Catalog, connection: Connection, options: Mapping[str, Any]) -> None:
        """Find out which prices apply.

        Args:
            catalog: Price rows.
            connection: Whether this is OpenAI's service, a local server, or another one.
            options: `paid` (true or false) says it for servers that we cannot know; `batch` halves the answers.
        """
        self._catalog = catalog
        self.paid = bool(options.get("paid", not connection.local))
        batch = bool(options.get("batch", False))
        self.answers = AnswerPrices(catalog=catalog, kind=KIND, host=connection.host, paid=self.paid, batch=batch)

    def tuning(self, spec: TuneSpec) -> Estimate:
        """Return the cost of a tuning job.

        Args:
            spec: The job.
        """
        if not self.paid:
            return self.answers.free()
        epochs = spec.parameters.get("n_epochs")
        low, high = (epochs, epochs) if isinstance(epochs, int) else _AUTO_EPOCHS
        costs = [self._catalog.training_cost(KIND, spec.model, spec.train.tokens * n) for n in (low, high)]
        if costs[0] is None or costs[1] is None:
            return self.answers.unknown(spec.model)
        return Estimate(low_usd=costs[0].usd, high_usd=costs[1].usd * ALLOWANCE, basis=(costs[1].basis,))

    def trained(self, model: str, tokens: int | None) -> float | None:
        """Return the actual cost of a finished job, or None when it is not known.

        Args:
            model: The base model.
            tokens: Tokens that the server says it trained on.
        """
        if not self.paid:
            return 0.0
        cost = self._catalog.training_cost(KIND, model, tokens) if tokens is not None else None
        return cost.usd if cost else None
