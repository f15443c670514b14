"""Several models over one base in step: their batches lie in one tensor, and each model's rows are multiplied apart.

What a row becomes must not depend on which other models are asked at the same time. In bf16 and int8 the result of a
matrix product depends on how many rows it has (and in int8 on what they hold), and PEFT's own mixed batches
(`adapter_names`) round differently from PEFT with one adapter. So the layers that multiply (the base's and the
adapters') are called once for each model, with exactly the rows that the model would have alone, and everything else,
which works row by row, is called once for all. The text is the same bit by bit, and the rest of the work and the
reading of the weights are shared.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

# Where it was shown that the rest does not depend on the number of rows.
_DEVICES = {"cpu"}


class Stack:
    """Whose rows lie where.

    Attributes:
        adapters: Of each model: the name of its adapter on the base; None is the base itself.
        sizes: Rows of each model at the moment; 0 when all of its answers are there.
    """

    def __init__(self, adapters: Sequence[str | None], sizes: Sequence[int]) -> None:
        """Begin.

        Args:
            adapters: One for each model.
            sizes: Rows of each.
        """
        self.adapters = list(adapters)
        self.sizes = list(sizes)

    @contextmanager
    def on(self, model: nn.Module) -> Generator[None]:
        """Have the model's layers called model by model.

        Args:
            model: The base with its adapters, or the base alone.
        """
        before: list[tuple[nn.Module, dict[str, Any]]] = []
        for layer in _multiplying(model):
            before.append((layer, {name: value for name, value in layer.__dict__.items() if name == "forward"}))
            layer.forward = self._apart(layer, layer.forward)
        try:
            yield
        finally:
            for layer, own in before:
                del layer.forward
                layer.__dict__.update(own)

    def _apart(self, layer: nn.Module, forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        call_one = _with_adapter if isinstance(layer, LoraLayer) else _as_it_is

        def call(x: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
            each = len(x) // sum(self.sizes)  # a layer may get batch and places as one dimension
            made: list[torch.Tensor] = []
            start = 0
            for name, size in zip(self.adapters, self.sizes, strict=True):
                if size:
                    made.append(call_one(layer, forward, name, x[start : start + each * size], *args, **more))
                start += each * size
            return torch.cat(made)

        return call


def can_stack(model: nn.Module, device: torch.device) -> bool:
    """Say whether all that a model does with its rows is known to be done row by row, its linear layers apart.

    A mixture of experts is not: it sorts the tokens of all rows by expert.

    Args:
        model: The base with its adapters, or the base alone.
        device: Where it is.
    """
    if device.type not in _DEVICES:
        return False
    inside = _inside(_carrying(model))
    named: Iterable[tuple[str, nn.Module]] = cast("Any", model).named_modules()
    return all("expert" not in name and _works_row_by_row(one) for name, one in named if id(one) not in inside)


def _works_row_by_row(module: nn.Module) -> bool:
    weighty = next(module.parameters(recurse=False), None) is not None
    return not weighty or isinstance(module, (nn.Linear, nn.Embedding)) or type(module).__name__.endswith("Norm")


def _multiplying(model: nn.Module) -> list[nn.Module]:
    """Return the layers that carry adapters and the linear layers that do not."""
    carrying = _carrying(model)
    inside = _inside(carrying)
    return [*carrying, *(one for one in model.modules() if isinstance(one, nn.Linear) and id(one) not in inside)]


def _carrying(model: nn.Module) -> list[nn.Module]:
    return [one for one in model.modules() if isinstance(one, LoraLayer)]


def _inside(layers: list[nn.Module]) -> set[int]:
    return {id(part) for layer in layers for part in layer.modules()}


def _as_it_is(
    _layer: nn.Module, forward: Callable[..., torch.Tensor], _name: str | None, *args: Any, **more: Any
) -> torch.Tensor:
    return forward(*args, **more)


def _with_adapter(
    layer: Any, forward: Callable[..., torch.Tensor], name: str | None, *args: Any, **more: Any
) -> torch.Tensor:
    if name is None:
        bare: torch.Tensor = layer.get_base_layer()(*args, **more)
        return bare
    # As `set_adapter` does, which would also walk through all weights of the layer.
    layer._active_adapter = [name]
    return forward(*args, **more)
