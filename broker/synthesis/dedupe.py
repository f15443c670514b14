"""Near-duplicates by cosine, as they come: exact, in blocks, in bounded memory.

An item is compared with every item accepted before it, also with those of its own block, and rejected when one is
closer than the threshold (0.8 for questions in arXiv 2507.04889, appendix A.1). All comparisons are made, as products
of matrices: n distinct items of d numbers cost n²·d floating-point operations and 4·n·d bytes (100,000 × 768: 8e12
and 0.3 GB; `benchmarks/bench_dedupe.py` has the seconds). Twice as many items take four times as long, so that beyond
a few hundred thousand an approximate index (usearch, faiss) has to propose the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.errors import DataError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float32]

THRESHOLD = 0.8
# Items compared at once, and accepted items held in one piece: their product (8 MB) stays in the processor's cache.
_BLOCK = 512
_SHELF = 4096
# A sum of single-precision products may be off by so much; closer to the threshold it is made again in double.
_DOUBT = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one item.

    Attributes:
        id: The item.
        accepted: Whether it is kept.
        nearest: The accepted item before it that is closest to it; None when there was none.
        cosine: Between the two, in [-1, 1]; None without a nearest one.
    """

    id: str
    accepted: bool
    nearest: str | None
    cosine: float | None


class Dedupe:
    """Holds what was accepted, and judges what comes.

    However the stream is cut into calls, the same items are accepted. Not to be shared by threads; a call blocks.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """Begin empty.

        Args:
            threshold: An item is rejected when its cosine with an accepted one is above this.
        """
        self.threshold = threshold
        self._shelves: list[Array] = []  # never moved nor copied when there are more
        self._ids: list[str] = []

    def __len__(self) -> int:
        """Return how many items are accepted."""
        return len(self._ids)

    def admit(self, vectors: ArrayLike, ids: Sequence[str]) -> list[Verdict]:
        """Judge items in their order and keep the accepted ones.

        Args:
            vectors: One a row, [n, d]; of any length, they are normalised here. A vector of zeros is like nothing.
            ids: Of the rows.

        Returns:
            One verdict for each row.

        Raises:
            DataError: A vector is not finite, or the shapes do not fit; nothing was accepted then.
        """
        rows = self._checked(vectors, ids)
        verdicts: list[Verdict] = []
        for start in range(0, len(rows), _BLOCK):
            verdicts += self._judge(rows[start : start + _BLOCK], ids[start : start + _BLOCK])
        return verdicts

    def keep(self, vectors: ArrayLike, ids: Sequence[str]) -> None:
        """Take items as accepted without comparing them, as when a run goes on with what it had accepted before.

        Args:
            vectors: As for `admit`.
            ids: Of the rows.

        Raises:
            DataError: As for `admit`.
        """
        for row, id_ in zip(self._checked(vectors, ids), ids, strict=True):
            self._add(row, id_)

    def _judge(self, rows: Array, ids: Sequence[str]) -> list[Verdict]:
        import numpy as np

        cosines, places = self._nearest(rows)
        among = rows @ rows.T
        first, taken = len(self._ids), np.zeros(len(rows), dtype=np.intp)
        verdicts: list[Verdict] = []
        for i, id_ in enumerate(ids):
            cosine, place = float(cosines[i]), int(places[i])
            if inside := len(self._ids) - first:
                near = among[i, taken[:inside]]
                best = int(near.argmax())
                if near[best] > cosine:
                    cosine, place = float(near[best]), first + best
            if place >= 0 and abs(cosine - self.threshold) <= _DOUBT:
                cosine, place = self._nearest_in_double(rows[i])
            accepted = place < 0 or cosine <= self.threshold
            nearest = self._ids[place] if place >= 0 else None
            shown = max(-1.0, min(1.0, cosine)) if nearest is not None else None
            verdicts.append(Verdict(id=id_, accepted=accepted, nearest=nearest, cosine=shown))
            if accepted:
                taken[inside] = i
                self._add(rows[i], id_)
        return verdicts

    def _nearest(self, rows: Array) -> tuple[Array, NDArray[np.intp]]:
        """Return the largest cosine of each row with what is accepted, and where that is (-1: nothing is)."""
        import numpy as np

        cosines = np.full(len(rows), -np.inf, dtype=np.float32)
        places = np.full(len(rows), -1, dtype=np.intp)
        product = np.empty((len(rows), _SHELF), dtype=np.float32)
        every = np.arange(len(rows))
        for start, shelf in self._filled():
            # The last shelf is multiplied whole or in part, always into rows of their own: no copies.
            found = np.matmul(rows, shelf.T, out=product) if len(shelf) == _SHELF else rows @ shelf.T
            best = found.argmax(axis=1)
            values = found[every, best]
            better = values > cosines
            cosines[better], places[better] = values[better], start + best[better]
        return cosines, places

    def _nearest_in_double(self, row: Array) -> tuple[float, int]:
        import numpy as np

        cosine, place = -np.inf, -1
        for start, shelf in self._filled():
            found = shelf.astype(np.float64) @ row.astype(np.float64)
            best = int(found.argmax())
            if found[best] > cosine:
                cosine, place = found[best], start + best
        return float(cosine), place

    def _filled(self) -> Iterator[tuple[int, Array]]:
        """Yield the shelves as far as they are filled, with the number of their first item."""
        for number, shelf in enumerate(self._shelves):
            start = number * _SHELF
            yield start, shelf[: len(self._ids) - start]

    def _add(self, row: Array, id_: str) -> None:
        import numpy as np

        number, place = divmod(len(self._ids), _SHELF)
        if number == len(self._shelves):
            self._shelves.append(np.empty((_SHELF, len(row)), dtype=np.float32))
        self._shelves[number][place] = row
        self._ids.append(id_)

    def _checked(self, vectors: ArrayLike, ids: Sequence[str]) -> Array:
        """Return the rows at length 1."""
        import numpy as np

        rows = np.asarray(vectors, dtype=np.float32)
        if not len(ids) and not rows.size:
            return np.empty((0, 0), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(ids):
            what = f"vectors of shape {rows.shape} for {len(ids)} items"
            raise DataError([Problem(where="near-duplicates", what=what, fix="give one vector for each item")])
        if self._shelves and rows.shape[1] != self._shelves[0].shape[1]:
            what = f"vectors of {rows.shape[1]} numbers after some of {self._shelves[0].shape[1]}"
            raise DataError([Problem(where=ids[0], what=what, fix="embed all items with the same encoder")])
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        bad = [id_ for id_, good in zip(ids, np.isfinite(lengths[:, 0]), strict=True) if not good]
        if bad:
            fix = "look at these texts; another encoder or precision may take them"
            raise DataError([Problem(where=id_, what="its vector is not finite", fix=fix) for id_ in bad])
        return np.divide(rows, np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
