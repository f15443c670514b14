"""Measure how well a model expects the assistant's words.

Arguments (JSON): `model`, `adapter`, `precision` (as for `generate`), and `rows`, a list of chats
(`{"messages": [...], "tools": [...]?}`), or `file`, the path of canonical chat rows; `batch_size` (8), `max_length`
(tokens, 2048), `each` (false): return the score of each row too.
Events: `{"kind": "scores", "rows": [{"index": 0, "nats": 12.3, "tokens": 9.0}, ...]}`, batch by batch; `index` counts
from 0.
Result: `{"perplexity": exp(sum of nats / sum of tokens), "nats", "tokens", "rows", "truncated_rows", "stopped"}`,
and with `each` also `"scores"`, `{"nats", "tokens", "cut"}` of each row in order, and `"tokenizer"`, a hash of the
vocabulary: scores per token of different vocabularies cannot be compared.
"""

from __future__ import annotations

import hashlib
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
    each: dict[int, dict[str, float]] = {}
    with context:
        for start in range(0, len(rows), size):
            if session.stop_requested():
                break
            scores = _score(module, base, rows[start : start + size])
            session.emit({"kind": "scores", "rows": scores})
            nats += sum(score["nats"] for score in scores)
            tokens += sum(score["tokens"] for score in scores)
            done += len(scores)
            each.update((int(score["index"]), score) for score in scores)
            session.progress(done, len(rows))
    found = {
        "perplexity": math.exp(nats / tokens) if tokens else None,
        "nats": nats,
        "tokens": tokens,
        "rows": done,
        "truncated_rows": len(cut),
        "stopped": session.stop_requested(),
    }
    scores = [{**each[index], "cut": index in cut} for index in sorted(each)]
    return {**found, "scores": scores, "tokenizer": _vocabulary(base)} if args.get("each") else found


def _vocabulary(base: Base) -> str:
    words: dict[str, int] = base.tokenizer.get_vocab()
    return hashlib.sha256(json.dumps(sorted(words.items())).encode()).hexdigest()[:8]


def _rows(args: dict[str, Any]) -> list[dict[str, Any]]:
    if args.get("file"):
        with Path(args["file"]).open("rb") as lines:
            return [json.loads(line) for line in lines]
    rows: list[dict[str, Any]] = args["rows"]
    return rows


def _token_rows(base: Base, rows: Sequence[dict[str, Any]], longest: int) -> tuple[list[TokenRow], set[int]]:
    """Tokenize; longest first, so that the batches are the same in every call and have little padding.

    Returns:
        The rows, and which of them were cut.
    """
    found: list[TokenRow] = []
    cut: set[int] = set()
    for index, row in enumerate(rows):
        ids, weights = base.chat.learn(row["messages"], row.get("tools") or ())
        if len(ids) > longest:
            cut.add(index)
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
