"""Measure how well a model expects the assistant's words.

Arguments (JSON): `model`, `adapter`, `precision` (as for `generate`), and `rows`, a list of chats
(`{"messages": [...], "tools": [...]?}`), or `file`, the path of canonical chat rows; `batch_size` (8), `max_length`
(tokens, 2048).
Events: `{"kind": "scores", "rows": [{"index": 0, "nats": 12.3, "tokens": 9.0}, ...]}`, batch by batch; `index` counts
from 0.
Result: `{"perplexity": exp(sum of nats / sum of tokens), "nats", "tokens", "rows", "truncated_rows", "stopped"}`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.models import base_for
from broker.worker.training.data import TokenRow, pad
from broker.worker.training.losses import token_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.models import Base
    from broker.worker.session import Session

_BATCH = 8
_LONGEST = 2048


def perplexity(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Score chats.

    Args:
        args: See the module.
        session: Receives the scores, says when to stop.

    Returns:
        See the module.
    """
    base = base_for(args, session.device_name)
    longest = min(int(args.get("max_length") or _LONGEST), base.longest)
    rows, cut = _token_rows(base, _rows(args), longest)
    adapter = args.get("adapter")
    module, context = base.answering(Path(adapter) if adapter else None)
    size = int(args.get("batch_size") or _BATCH)
    nats = tokens = 0.0
    done = 0
    with context:
        for start in range(0, len(rows), size):
            if session.stop_requested():
                break
            scores = _score(module, base, rows[start : start + size])
            session.emit({"kind": "scores", "rows": scores})
            nats += sum(score["nats"] for score in scores)
            tokens += sum(score["tokens"] for score in scores)
            done += len(scores)
            session.progress(done, len(rows))
    return {
        "perplexity": math.exp(nats / tokens) if tokens else None,
        "nats": nats,
        "tokens": tokens,
        "rows": done,
        "truncated_rows": cut,
        "stopped": session.stop_requested(),
    }


def _rows(args: dict[str, Any]) -> list[dict[str, Any]]:
    if args.get("file"):
        lines = Path(args["file"]).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    rows: list[dict[str, Any]] = args["rows"]
    return rows


def _token_rows(base: Base, rows: Sequence[dict[str, Any]], longest: int) -> tuple[list[TokenRow], int]:
    """Tokenize; longest first, so that the batches are the same in every call and have little padding."""
    found: list[TokenRow] = []
    cut = 0
    for index, row in enumerate(rows):
        ids, weights = base.chat.learn(row["messages"], row.get("tools") or ())
        cut += len(ids) > longest
        weights[0] = 0.0
        found.append(TokenRow(index, tuple(ids[:longest]), tuple(weights[:longest])))
    return sorted(found, key=lambda row: -len(row.ids)), cut


@torch.inference_mode()
def _score(module: Any, base: Base, rows: Sequence[TokenRow]) -> list[dict[str, float]]:
    losses, weights, places = token_losses(module, pad(rows, base.tokenizer.pad_token_id, base.device))
    nats = torch.zeros(len(rows), dtype=torch.float64)
    nats.index_add_(0, places.cpu(), (losses * weights).double().cpu())
    return [
        {"index": row.key, "nats": float(value), "tokens": sum(row.weights)}
        for row, value in zip(rows, nats, strict=True)
    ]
