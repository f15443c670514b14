"""Which requests are made together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, tokenized.

    Attributes:
        id: The caller's own.
        ids: Tokens of the prompt.
        temperature: 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens of the answer.
        seed: Of this row's own generator.
        stop: Texts at which the answer ends.
    """

    id: str
    ids: tuple[int, ...]
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stop: tuple[str, ...]


def ask(request: Mapping[str, Any], ids: Sequence[int], *, longest: int) -> Ask:
    """Build a request.

    Args:
        request: As in `broker.worker.ops.generate`.
        ids: Tokens of its prompt.
        longest: Tokens that the model takes, prompt and answer together.
    """
    stop = request.get("stop") or ()
    name = str(request["id"])
    return Ask(
        id=name,
        ids=tuple(ids),
        temperature=float(request.get("temperature") or 0.0),
        top_p=float(request.get("top_p") or 1.0),
        max_tokens=max(1, min(int(request.get("max_tokens") or 256), longest - len(ids))),
        seed=_seed(int(request.get("seed") or 0), name),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def batches(asks: Sequence[Ask], *, rows: int, tokens: int) -> list[list[Ask]]:
    """Cut requests into batches, the longest prompts first.

    A batch that is left out of a later call (its answers are stored already) leaves the others as they are: how many
    rows a batch has is decided by its first row alone.

    Args:
        asks: In the caller's order, which decides between equal lengths.
        rows: Most rows of a batch.
        tokens: Most tokens of a batch, prompts and answers together as the first row has them; one row always goes.
    """
    ordered = sorted(asks, key=lambda one: -len(one.ids))
    cut: list[list[Ask]] = []
    start = 0
    while start < len(ordered):
        first = ordered[start]
        size = max(1, min(rows, tokens // (len(first.ids) + first.max_tokens)))
        cut.append(ordered[start : start + size])
        start += size
    return cut


def shape(batch: Sequence[Ask]) -> tuple[int, ...]:
    """Return what two batches must have in common to be made in step: the prompts' lengths, row by row."""
    return tuple(len(one.ids) for one in batch)


def _seed(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
