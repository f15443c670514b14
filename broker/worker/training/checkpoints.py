"""The state of a training run on disk, complete or absent: a resumed run goes on bit-equal."""

from __future__ import annotations

import importlib
import io
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel

from broker.worker.durable import new_folder, publish, sha256
from broker.worker.models import read_tensors
from broker.worker.runfolder import CHECKPOINT_META, checkpoint_meta
from broker.worker.training.lora import weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.worker.session import Session

WEIGHTS = "adapter_model.safetensors"
_STATE = "state.pt"
_RESUMABLE = 2  # older ones keep their adapter, not their optimizer


@dataclass(frozen=True, slots=True)
class Trained:
    """What changes as a run goes on.

    Attributes:
        peft: The model with its adapters.
        optimizer: AdamW.
        scheduler: One-cycle.
    """

    peft: PeftModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler


def save_adapter(folder: Path, peft: PeftModel) -> None:
    """Write an adapter in PEFT's format, safetensors only.

    Args:
        folder: Exists.
        peft: The model with its adapter.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights_of(peft).items()}
    safetensors: Any = importlib.import_module("safetensors.torch")
    # To bytes first: a full disk is then an OSError like any other, not an error of the library's own kind.
    (folder / WEIGHTS).write_bytes(safetensors.save(tensors, metadata={"format": "pt"}))
    config: Any = peft.peft_config["default"]
    inference, config.inference_mode = config.inference_mode, True
    config.save_pretrained(str(folder))
    config.inference_mode = inference


def save(folder: Path, trained: Trained, meta: Mapping[str, Any]) -> Path:
    """Write a checkpoint.

    Args:
        folder: Of all checkpoints of the run.
        trained: What changes.
        meta: `step` (steps done), `micro_batch`, `metrics`, …

    Returns:
        The checkpoint's folder.
    """
    final = folder / f"step-{meta['step']:06d}"
    temporary = new_folder(final)
    try:
        save_adapter(temporary, trained.peft)
        (temporary / _STATE).write_bytes(_packed(_state(trained)))
        hashes = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        (temporary / CHECKPOINT_META).write_text(json.dumps({**meta, "sha256": hashes}, indent=2), encoding="utf-8")
        publish(temporary, final)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def thin(folder: Path) -> None:
    """Remove what no resume will need: the state of old checkpoints, and old ones that end no epoch.

    Args:
        folder: Of all checkpoints of the run.
    """
    for path in listed(folder)[:-_RESUMABLE]:
        if checkpoint_meta(path).get("epoch_end"):
            (path / _STATE).unlink(missing_ok=True)
        else:
            shutil.rmtree(path)


def listed(folder: Path) -> list[Path]:
    """Return the checkpoints, oldest first.

    Args:
        folder: Of all checkpoints of a run; may be missing.
    """
    return sorted(folder.glob("step-*"))


def newest(folder: Path, session: Session) -> Path | None:
    """Return the newest checkpoint that is whole; broken ones are reported and passed over.

    Args:
        folder: Of all checkpoints of the run.
        session: Receives the report.
    """
    for path in reversed(listed(folder)):
        if _whole(path):
            return path
        if (path / _STATE).exists() or not checkpoint_meta(path):
            session.log(f"checkpoint {path.name} is damaged; the one before it is used", level="warning")
    return None


def load(path: Path, trained: Trained) -> dict[str, Any]:
    """Put a checkpoint's state back; the adapters keep the dtype they have now.

    Args:
        path: A whole checkpoint.
        trained: Receives the state.

    Returns:
        The checkpoint's meta data.
    """
    saved = read_tensors(path / WEIGHTS)
    with torch.no_grad():
        for name, tensor in weights_of(trained.peft).items():
            tensor.copy_(saved[name])
    state = torch.load(path / _STATE, map_location="cpu", weights_only=True)
    trained.optimizer.load_state_dict(state["optimizer"])
    trained.scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and state["cuda_rng"]:
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return checkpoint_meta(path)


def _state(trained: Trained) -> dict[str, Any]:
    return {
        "optimizer": trained.optimizer.state_dict(),
        "scheduler": trained.scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _packed(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _whole(path: Path) -> bool:
    hashes = checkpoint_meta(path).get("sha256", {})
    if not {WEIGHTS, _STATE} <= hashes.keys():
        return False
    return all((path / name).exists() and sha256(path / name) == value for name, value in hashes.items())
