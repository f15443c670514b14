"""LoRA adapters on a frozen base, for training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn

from broker.errors import WorkerError
from broker.worker.training.dropout import PlacedDropout

if TYPE_CHECKING:
    from peft import PeftModel

    from broker.worker.models import Base
    from broker.worker.training.dropout import Place
    from broker.worker.training.options import TrainOptions

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def attach(base: Base, options: TrainOptions, *, seed: int, place: Place) -> PeftModel:
    """Put new adapters on a base.

    `bias="none"`: Llama's projections have no biases, so the paper's "only LoRA adapter biases" trains nothing there,
    and `lora_only` would keep a second adapter off the same base. PEFT's `prepare_model_for_kbit_training` is not used:
    it makes the head and the norms fp32, which the paper keeps in bf16.

    Args:
        base: Loaded, without adapters.
        options: Rank, scaling, dropout, layers, dtype.
        seed: Of the first weights.
        place: Where the dropout layers look for the step and the rows.

    Returns:
        The model to train; only its adapters need gradients.

    Raises:
        WorkerError: The model has none of the layers named (`kind="target_modules"`).
    """
    library: Any = torch
    library.manual_seed(seed)
    model = base.bare()
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.scaling,
        lora_dropout=options.dropout,
        bias="none",
        target_modules=_targets(options.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        peft: Any = get_peft_model(model, config)
    except ValueError as error:
        if "arget modules" not in str(error):
            raise
        raise _no_targets(model, options.target_modules, base.key.model) from error
    _cast(peft, _DTYPES[options.adapter_dtype])
    _place_dropout(peft, options.dropout, place)
    if options.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    trained: PeftModel = peft.train()
    return trained


def detach(base: Base, peft: PeftModel) -> None:
    """Give the base back as it was.

    Args:
        base: The base.
        peft: From `attach`.
    """
    base.model.activation_checkpointing_disable()
    base.release(peft)
    base.model.eval()


def trainable(peft: nn.Module) -> list[nn.Parameter]:
    """Return the adapters' weights, in a fixed order."""
    return [parameter for parameter in peft.parameters() if parameter.requires_grad]


def weights_of(peft: PeftModel) -> dict[str, torch.Tensor]:
    """Return the adapters' weights by their names in PEFT's files; they share memory with the model."""
    saving: Any = importlib.import_module("peft.utils.save_and_load")
    state: dict[str, torch.Tensor] = saving.get_peft_model_state_dict(peft, save_embedding_layers=False)
    return state


def _targets(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if names == ("all-linear",) else list(names)


def _cast(peft: nn.Module, dtype: torch.dtype) -> None:
    for parameter in trainable(peft):
        parameter.data = parameter.data.to(dtype)


def _place_dropout(peft: nn.Module, rate: float, place: Place) -> None:
    layers = [module for module in peft.modules() if isinstance(module, LoraLayer)]
    for number, layer in enumerate(layers):
        for adapter in layer.lora_dropout:
            layer.lora_dropout[adapter] = PlacedDropout(rate, number, place)


def _no_targets(model: Any, names: tuple[str, ...], where: str) -> WorkerError:
    linear: set[str] = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if _is_linear(module)}
    present = sorted(linear)
    return WorkerError(
        f"the model has no layers called {', '.join(names)}",
        kind="target_modules",
        where=where,
        fix=f"--target-modules with some of: {', '.join(present)}, or all-linear",
    )


def _is_linear(module: object) -> bool:
    return isinstance(module, nn.Linear)
