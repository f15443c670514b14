"""Cosine similarity between each answer and the expected one, by a sentence encoder in a worker process."""

from __future__ import annotations

from math import sqrt
from operator import mul
from typing import TYPE_CHECKING, Any

from broker.errors import MissingExtraError, WorkerError
from broker.evaluation.metrics import Cost, Direction, Kind, MetricContext, Scored

if TYPE_CHECKING:
    from collections.abc import Sequence

# Answers sent to the worker at once: each brings two texts, and their vectors come back as JSON.
CHUNK = 128
# Beyond this the numbers are noise of the encoder's padding, and noise must not look like a difference.
DECIMALS = 6


class Similarity:
    """Cosine similarity of sentence embeddings (arXiv 2507.04889, 2.3; its encoder is the default).

    A row has no similarity when its answer or its expected answer is empty. When the encoder cannot be loaded, `score`
    raises and the column says why; another encoder never takes its place silently.
    """

    name = "similarity"
    unit = ""
    direction = Direction.HIGHER
    kind = Kind.MEAN
    cost = Cost.LOCAL
    needs: tuple[str, ...] = ("encoder", "expected")

    def __init__(self, context: MetricContext, _argument: str = "") -> None:
        """Take the worker processes and the encoder's name.

        Args:
            context: Workers and encoder.
            _argument: Not used.
        """
        self.label = "similarity"
        self.version = context.encoder_name or context.encoder
        self._context = context

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Embed expected and given answers and return the cosine of each pair, rounded to `DECIMALS`.

        Raises:
            WorkerError: The worker or the encoder failed.
            MissingExtraError: There is no worker process to run an encoder in.
        """
        pairs = {i: (row.expected, row.answer) for i, row in enumerate(rows) if _both(row)}
        values: list[float | None] = [None] * len(rows)
        places = list(pairs)
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            vectors = await self._embed([text for place in chunk for text in pairs[place]])
            for k, place in enumerate(chunk):
                values[place] = cosine(vectors[2 * k], vectors[2 * k + 1])
        return values

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        workers = self._context.workers
        if workers is None:
            raise MissingExtraError(
                "similarity needs a worker process with sentence-transformers",
                fix="pip install 'finetune-broker[local,similarity]'",
            )
        reply: dict[str, Any] = await workers.call("embed", {"model": self._context.encoder, "texts": texts})
        vectors: list[list[float]] = reply.get("vectors", [])
        if len(vectors) != len(texts):
            raise WorkerError(f"the encoder returned {len(vectors)} vectors for {len(texts)} texts", kind="embed")
        name = self._context.encoder_name or reply.get("model") or self._context.encoder
        self.version = ", ".join(str(part) for part in (name, reply.get("version")) if part)
        return vectors


def _both(row: Scored) -> bool:
    return bool(row.expected.strip() and row.answer.strip())


def cosine(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return the cosine of two vectors of equal length, or None when one has no direction."""
    product = sqrt(_dot(left, left) * _dot(right, right))
    return round(_dot(left, right) / product, DECIMALS) if product else None


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return float(sum(map(mul, left, right)))
