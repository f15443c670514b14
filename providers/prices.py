"""What answers cost, by the catalog. Unknown is not free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.catalog import Catalog
from broker.providers.contract import Estimate

if TYPE_CHECKING:
    from broker.jobs.spec import ModelRef

# Token counts here are estimates; the money that is reserved allows for this much more.
ALLOWANCE = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPrices:
    """The prices of one account's answers.

    Attributes:
        catalog: Price rows.
        kind: Kind of provider.
        host: Where the account is, for messages.
        paid: Its answers cost money.
        batch: They are asked for by batches, at half the price.
    """

    catalog: Catalog
    kind: str
    host: str
    paid: bool
    batch: bool = False

    def answering(self, model: ModelRef, input_tokens: int, output_tokens: int) -> Estimate:
        """Return the cost of asking a model.

        Args:
            model: The model.
            input_tokens: Tokens of the prompts.
            output_tokens: Tokens of the answers.
        """
        if not self.paid:
            return self.free()
        cost = self.catalog.answer_cost(
            self.kind, model.name, input_tokens=input_tokens, output_tokens=output_tokens, batch=self.batch
        )
        if cost is None:
            return self.unknown(model.name)
        return Estimate(low_usd=cost.usd, high_usd=cost.usd * ALLOWANCE, basis=(cost.basis,))

    def answered(
        self, model: str, input_tokens: int, output_tokens: int, *, cached: int = 0, batch: bool = False
    ) -> float:
        """Return the cost of one answer; 0 where no price is known.

        Args:
            model: The model asked.
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer.
            cached: Tokens of the prompt that were billed as cached.
            batch: It came by a batch.
        """
        if not self.paid:
            return 0.0
        cost = self.catalog.answer_cost(
            self.kind, model, input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached, batch=batch
        )
        return cost.usd if cost else 0.0

    def free(self) -> Estimate:
        """Return the estimate of what costs nothing."""
        return Estimate(basis=(f"{self.host} is on this machine: no price",))

    def unknown(self, model: str) -> Estimate:
        """Return the estimate of what has no known price."""
        return Estimate(basis=(f"no price is known for {model} at {self.host}; add a row to your catalog.toml",))
