"""The devices of this machine, as the torch process sees them. Imports torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

import torch

from broker.errors import WorkerError

PRECISIONS = ("bf16", "fp32", "int8", "nf4")
_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "tokenizers")


def pick(name: str | None) -> torch.device:
    """Return the device to use.

    Args:
        name: As torch writes it; the fastest present when not given.

    Raises:
        WorkerError: The machine has no such device (`kind="device"`).
    """
    if name is None:
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise WorkerError(
            f"this machine has no device {name!r}", kind="device", fix="set BROKER_DEVICE=cpu, or leave it out"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def lock_name(name: str | None) -> str:
    """Return a name for the device that all processes of the machine agree on.

    Args:
        name: As for `pick`.
    """
    device = pick(name)
    if device.type != "cuda":
        return device.type
    # The index depends on CUDA_VISIBLE_DEVICES of each process; the hardware's id does not.
    cuda: Any = torch.cuda
    uuid = getattr(cuda.get_device_properties(device), "uuid", device.index)
    return f"cuda-{uuid}"


def precisions(device: torch.device) -> tuple[str, ...]:
    """Return the precisions in which a base model can be loaded here.

    Args:
        device: Where it shall be.
    """
    if importlib.util.find_spec("bitsandbytes") is None or device.type not in ("cpu", "cuda"):
        return ("bf16", "fp32")
    return PRECISIONS


def require_precision(precision: str, device: torch.device) -> None:
    """Check that the machine has a precision.

    Args:
        precision: One of `PRECISIONS`.
        device: Where the model shall be.

    Raises:
        WorkerError: It has not (`kind="precision"`).
    """
    present = precisions(device)
    if precision not in present:
        fix = "pip install 'finetune-broker[local]'" if precision in PRECISIONS else f"use one of {', '.join(present)}"
        raise WorkerError(f"precision {precision!r} is not available on {device}", kind="precision", fix=fix)


def facts(name: str | None) -> dict[str, Any]:
    """Return what a person or a check wants to know about this machine.

    Args:
        name: As for `pick`.
    """
    device = pick(name)
    return {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "devices": ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))],
        "bf16": device.type != "cuda" or torch.cuda.is_bf16_supported(),
        "precisions": list(precisions(device)),
        "int8_arithmetic": device.type == "cuda",  # on CPU, int8 is a way of storing weights (training dequantizes)
        "threads": torch.get_num_threads(),
        "versions": {package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
