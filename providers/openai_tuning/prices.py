"""What jobs and answers cost, by the catalog. Unknown is not free; a server on the same machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.providers.contract import Estimate
from broker.providers.openai_tuning.checks import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.catalog import Catalog
    from broker.jobs.spec import ModelRef, TuneSpec
    from broker.providers.openai_tuning.connection import Connection

# OpenAI's "auto" number of epochs: 3 for most files, between 1 and 10 for very large or very small ones.
_AUTO_EPOCHS = (1, 10)
# Token counts here are estimates; the money that is reserved allows for this much more.
_ALLOWANCE = 1.25


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
        self._host = connection.host
        self.paid = bool(options.get("paid", not connection.local))
        self._batch = bool(options.get("batch", False))

    def tuning(self, spec: TuneSpec) -> Estimate:
        """Return the cost of a tuning job.

        Args:
            spec: The job.
        """
        if not self.paid:
            return self._free()
        epochs = spec.parameters.get("n_epochs")
        low, high = (epochs, epochs) if isinstance(epochs, int) else _AUTO_EPOCHS
        costs = [self._catalog.training_cost(KIND, spec.model, spec.train.tokens * n) for n in (low, high)]
        if costs[0] is None or costs[1] is None:
            return self._unknown(spec.model)
        return Estimate(low_usd=costs[0].usd, high_usd=costs[1].usd * _ALLOWANCE, basis=(costs[1].basis,))

    def answering(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Return the cost of asking a model.

        Args:
            model: The model.
            input_tokens: Tokens of the prompts.
            output_tokens: Tokens of the answers.
        """
        if not self.paid:
            return self._free()
        cost = self._catalog.answer_cost(
            KIND, model.name, input_tokens=input_tokens, output_tokens=output_tokens, batch=self._batch
        )
        if cost is None:
            return self._unknown(model.name)
        return Estimate(low_usd=cost.usd, high_usd=cost.usd * _ALLOWANCE, basis=(cost.basis,))

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

    def answered(
        self, model: str, input_tokens: int, output_tokens: int, *, cached: int = 0, batch: bool = False
    ) -> float:
        """Return the cost of one answer; 0 where no price is known.

        Args:
            model: The model asked.
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer.
            cached: Tokens of the prompt that were billed as cached.
            batch: It came through the Batch API.
        """
        if not self.paid:
            return 0.0
        cost = self._catalog.answer_cost(
            KIND, model, input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached, batch=batch
        )
        return cost.usd if cost else 0.0

    def _free(self) -> Estimate:
        return Estimate(basis=(f"{self._host} is on this machine: no price",))

    def _unknown(self, model: str) -> Estimate:
        return Estimate(basis=(f"no price is known for {model} at {self._host}; add a row to your catalog.toml",))
