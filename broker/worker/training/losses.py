"""What is learnt: sums over a micro-batch, to be divided by what the whole effective batch holds.

Because the divisor belongs to the effective batch, the size of the micro-batch does not change the mathematics.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from broker.worker.models import keeps_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.training.data import Batch, Sample


def token_losses(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the negative log-likelihood of every token that has a weight.

    Args:
        model: Base or adapted model.
        batch: Padded on the right.

    Returns:
        Losses in nats, weights, and the sequence of each, all of shape [weighted tokens].
    """
    wanted = batch.weights[:, 1:] > 0
    columns = wanted.any(dim=0).nonzero()[:, 0]
    logits = _logits(model, batch, columns)
    wanted = wanted[:, columns]
    targets = batch.ids[:, 1:][:, columns][wanted]
    losses = functional.cross_entropy(logits[wanted].float(), targets, reduction="none")
    return losses, batch.weights[:, 1:][:, columns][wanted], wanted.nonzero()[:, 0]


def _logits(model: Any, batch: Batch, columns: torch.Tensor) -> torch.Tensor:
    """Return the logits that predict the tokens after `columns`, without making the others where that can be had."""
    if keeps_logits(model):
        output = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, logits_to_keep=columns)
        logits: torch.Tensor = output.logits
        return logits
    full: torch.Tensor = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    return full[:, columns]


class Objective(Protocol):
    """A way of learning."""

    def total(self, samples: Sequence[Sample]) -> float:
        """Return what the sums of an effective batch are divided by."""
        ...

    def sums(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a micro-batch, and other measures, as sums."""
        ...


class Sft:
    """Cross-entropy of the assistant's tokens, weighted."""

    def total(self, samples: Sequence[Sample]) -> float:
        """Return the weighted tokens of the samples."""
        return sum(sample.weight for sample in samples)

    def sums(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the weighted sum of the tokens' losses, nats."""
        losses, weights, _ = token_losses(model, batch)
        return (losses * weights).sum(), {}


class Dpo:
    """Direct preference optimization (arXiv:2305.18290, equation 7); the reference is the model without adapters."""

    def __init__(self, beta: float) -> None:
        """Set the strength.

        Args:
            beta: Of the tie to the reference.
        """
        self.beta = beta

    def total(self, samples: Sequence[Sample]) -> float:
        """Return the number of pairs."""
        return float(len(samples))

    def sums(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the sum of the pairs' losses, with margin and accuracy of the rewards.

        Args:
            model: With adapters.
            batch: Sequences in pairs, the preferred one first.
        """
        with torch.no_grad(), getattr(model, "disable_adapter", nullcontext)():
            reference = _likelihoods(model, batch)
        rewards = self.beta * (_likelihoods(model, batch) - reference)
        margins = rewards[0::2] - rewards[1::2]
        measures = {"reward_margin": margins.detach().sum(), "reward_accuracy": (margins.detach() > 0).float().sum()}
        return -functional.logsigmoid(margins).sum(), measures


def _likelihoods(model: Any, batch: Batch) -> torch.Tensor:
    """Return the log-likelihood of each sequence's answer, [sequences]."""
    losses, weights, rows = token_losses(model, batch)
    zeros = torch.zeros(len(batch.ids), dtype=losses.dtype, device=losses.device)
    return zeros.index_add(0, rows, -losses * weights)
