"""What a training run may set, with the defaults of Table 3 of arXiv:2507.04889. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The settings of one run.

    Attributes:
        precision: Of the frozen base: `bf16`, `fp32`, `int8` (LLM.int8, threshold 6.0), `nf4`. Never of the head.
        adapter_dtype: Of the LoRA weights: `fp32`, or `bf16` as in the paper (it rounds many updates away).
        rank: LoRA's r.
        alpha: LoRA's scaling; equal to `rank` when None, as in the paper.
        dropout: Of the adapters' inputs.
        target_modules: Layers that get an adapter.
        lr: Highest learning rate.
        epochs: Passes over the data.
        batch_size: Rows of one micro-batch; halved when memory runs out.
        grad_accum: Micro-batches of one step; doubled when the micro-batch is halved.
        warmup: Share of the steps in which the learning rate rises.
        div_factor: Highest over initial learning rate.
        final_div_factor: Initial over final learning rate.
        weight_decay: Of AdamW; 0.01 is torch's default, the paper names none.
        max_grad_norm: Gradients are clipped to this norm; the paper names none.
        max_length: Longest row, tokens; what is longer is cut at its end and reported.
        beta: Strength of the tie to the reference in DPO.
        gradient_checkpointing: Recompute activations: less memory, more time.
        checkpoint_steps: Save the state after so many steps, besides after every epoch.
    """

    precision: str = "bf16"
    adapter_dtype: str = "fp32"
    rank: int = 64
    alpha: int | None = None
    dropout: float = 0.2
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    lr: float = 2e-4
    epochs: int = 5
    batch_size: int = 16
    grad_accum: int = 2
    warmup: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    max_length: int = 1024
    beta: float = 0.1
    gradient_checkpointing: bool = False
    checkpoint_steps: int = 50

    @property
    def effective_batch(self) -> int:
        """Return the rows of one optimizer step."""
        return self.batch_size * self.grad_accum

    @property
    def scaling(self) -> int:
        """Return LoRA's alpha."""
        return self.rank if self.alpha is None else self.alpha


DEFAULTS = TrainOptions()


def parse(parameters: Mapping[str, Any]) -> TrainOptions:
    """Build the options from a job's parameters, already checked by the provider.

    Args:
        parameters: Names and values; None and "auto" stand for the default.
    """
    given = {name: value for name, value in parameters.items() if value is not None and value != "auto"}
    known = {field.name for field in fields(TrainOptions)}
    values = {name: _fit(name, value) for name, value in given.items() if name in known}
    return TrainOptions(**values)


def _fit(name: str, value: Any) -> Any:
    default = getattr(DEFAULTS, name)
    if name == "target_modules":
        return (value,) if isinstance(value, str) else tuple(value)
    return int(value) if default is None else type(default)(value)
