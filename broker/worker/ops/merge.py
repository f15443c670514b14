"""Merge an adapter into its base and write a whole model in bf16.

Arguments (JSON): `model` (folder or hub id), `adapter` (folder), `output` (folder to write), `texts` (optional prompts
to check with). The base is loaded in bf16 whatever the adapter was trained on: a merge into int8 loses what was learnt.
Result: `{"output", "max_abs_diff", "mean_abs_diff", "logit_scale", "argmax_agreement"}`: the logits of the merged model
against those of base plus adapter, at every place of the check texts; the scale is their standard deviation.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.errors import WorkerError
from broker.worker.durable import new_folder, publish
from broker.worker.models import MODELS, base_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.models import Base
    from broker.worker.session import Session

_TEXTS = (
    "What is a birch?",
    "Explain in two sentences why the sky is blue.",
    "How do I return a parcel that arrived broken?",
    "Write a short greeting for a new colleague.",
)
# Rounding merged weights to bf16 (8 bits) moves logits by about a hundredth of their spread; a wrong merge by all.
_TOLERANCE = 0.25


def merge(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Merge, check, write.

    Args:
        args: See the module.
        session: Receives progress.

    Returns:
        See the module.

    Raises:
        WorkerError: The merged model answers differently (`kind="merge"`); nothing is written.
    """
    MODELS.clear()  # the base is changed below and must not be used again
    base = base_for({"model": args["model"], "precision": "bf16"}, session.device_name)
    texts: Sequence[str] = args.get("texts") or _TEXTS
    module, _ = base.answering(Path(args["adapter"]))
    wanted = _logits(module, base, texts)
    session.progress(1, 3, stage="loaded")
    try:
        merged = module.merge_and_unload(safe_merge=True)
        found = _compare(wanted, _logits(merged, base, texts))
        session.progress(2, 3, stage="merged")
        _write(merged, base, Path(args["output"]))
    finally:
        MODELS.clear()
    session.progress(3, 3, stage="written")
    return {"output": args["output"], **found}


@torch.inference_mode()
def _logits(module: Any, base: Base, texts: Sequence[str]) -> torch.Tensor:
    rows: list[torch.Tensor] = []
    for text in texts:
        ids = torch.tensor([base.chat.prompt([{"role": "user", "content": text}])], device=base.device)
        rows.append(module(input_ids=ids, use_cache=False).logits[0].float().cpu())
    return torch.cat(rows)


def _compare(wanted: torch.Tensor, found: torch.Tensor) -> dict[str, float]:
    difference = (wanted - found).abs()
    numbers = {
        "max_abs_diff": float(difference.max()),
        "mean_abs_diff": float(difference.mean()),
        "logit_scale": float(wanted.std()),
        "argmax_agreement": float((wanted.argmax(-1) == found.argmax(-1)).float().mean()),
    }
    if not numbers["mean_abs_diff"] <= _TOLERANCE * numbers["logit_scale"]:
        raise WorkerError(
            f"the merged model does not answer as the adapter does: mean difference of the logits "
            f"{numbers['mean_abs_diff']:.3g} at a spread of {numbers['logit_scale']:.3g}",
            kind="merge",
            fix="use the adapter itself",
        )
    return numbers


def _write(merged: Any, base: Base, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = new_folder(output)
    try:
        merged.save_pretrained(draft)
        base.tokenizer.save_pretrained(draft)
        publish(draft, output)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
