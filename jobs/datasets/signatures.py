"""What is compared of a data set to find prompts that it shares with another: small, kept, and quick to compare.

Of every different prompt a signature holds a hash of its key, the line of its first row, and its set of character
trigrams. A trigram is a number of 63 bits made of its three code points, so no two trigrams share one.

Two sets with a Jaccard similarity of t share at least `ceil(t * |v|)` members, v being either of them. So of the asked
set's members, ordered from the rarest to the commonest, the first `|v| - ceil(t * |v|) + k` hold at least k of those
that a similar set shares (the prefix filter of Bayardo et al. 2007, "Scaling up all pairs similarity search"). Only
sets that share k of them are compared in full: every pair is considered, nothing is sampled.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from broker.jobs.rows import Row

    Codes = NDArray[np.uint64]
    Numbers = NDArray[np.int64]
    Places = NDArray[np.uint32]

SHINGLE = 3
# Counts up whenever a signature of the same rows changes.
VERSION = 1
# So many of the rarest members must be shared before two sets are compared in full.
_SHARED = 6
_KEY_BYTES = 16
# Pairs of (training prompt, asked prompt) held at once.
_MOST_PAIRS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """The different prompts of a data set.

    Attributes:
        keys: A hash of each prompt's key, 16 bytes each.
        lines: The line of the first row that has it.
        starts: Where its trigrams begin in `places`; one more than there are prompts.
        table: The different trigrams of all prompts, sorted.
        places: Each prompt's trigrams, as places in the table, sorted and without repetition.
    """

    keys: bytes
    lines: Numbers
    starts: Numbers
    table: Codes
    places: Places

    @property
    def prompts(self) -> int:
        """Return how many different prompts there are."""
        return len(self.lines)

    def key(self, number: int) -> bytes:
        """Return the hash of a prompt's key."""
        return self.keys[number * _KEY_BYTES : (number + 1) * _KEY_BYTES]

    def members(self, number: int) -> Codes:
        """Return a prompt's trigrams, sorted."""
        return self.table[self.places[self.starts[number] : self.starts[number + 1]]]

    def to_bytes(self) -> bytes:
        """Return the signature as a file's content."""
        import numpy as np

        file = io.BytesIO()
        keys = np.frombuffer(self.keys, dtype=np.uint8)
        np.savez(file, keys=keys, lines=self.lines, starts=self.starts, table=self.table, places=self.places)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """Return the signature that a file holds.

        Raises:
            ValueError: It holds none.
        """
        import zipfile

        import numpy as np

        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                held = {name: found[name] for name in ("keys", "lines", "starts", "table", "places")}
        except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"no signature: {error}") from error
        return cls(held["keys"].tobytes(), held["lines"], held["starts"], held["table"], held["places"])


@dataclass(frozen=True, slots=True)
class Likeness:
    """An asked prompt and the prompt most like it.

    Attributes:
        asked: Number of the asked prompt.
        number: Number of the other; the first of several.
        similarity: Jaccard similarity of their trigrams; 1 for the same prompt.
        exact: They are the same prompt.
    """

    asked: int
    number: int
    similarity: float
    exact: bool


def sign(rows: Iterable[tuple[str, int]]) -> Signature:
    """Make a signature.

    Args:
        rows: Each row's prompt key and line.
    """
    import numpy as np

    first: dict[str, int] = {}
    for key, line in rows:
        first.setdefault(key, line)
    owners, codes = _trigrams(list(first))
    starts = np.zeros(len(first) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owners, minlength=len(first)), out=starts[1:])
    hashes = b"".join(hashlib.blake2b(_encoded(key), digest_size=_KEY_BYTES).digest() for key in first)
    table, places = np.unique(codes, return_inverse=True)
    lines = np.array(list(first.values()), dtype=np.int64)
    return Signature(hashes, lines, starts, table, places.astype(np.uint32))


def sign_rows(rows: Iterable[Row]) -> Signature:
    """Make the signature of rows.

    Args:
        rows: Checked rows.
    """
    from broker.jobs.datasets.overlaps import prompt_key

    return sign((prompt_key(row), row.line) for row in rows)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _trigrams(keys: Sequence[str]) -> tuple[Numbers, Codes]:
    """Return every trigram of every text once, with the text's number; a blank is set before and behind each text."""
    import numpy as np

    padded = [f" {key} " for key in keys]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    sizes = np.array([len(text) for text in padded], dtype=np.int64)
    owners = np.repeat(np.arange(len(keys), dtype=np.int64), sizes)
    if len(points) < SHINGLE:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    within = owners[SHINGLE - 1 :] == owners[: 1 - SHINGLE]
    codes = (points[:-2] << np.uint64(42)) | (points[1:-1] << np.uint64(21)) | points[2:]
    codes, owners = codes[within], owners[: 1 - SHINGLE][within]
    order = np.lexsort((codes, owners))
    codes, owners = codes[order], owners[order]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
    return owners[new], codes[new]


class Question:
    """A signature whose prompts are looked for in others; made once for all of them."""

    def __init__(self, asked: Signature, threshold: float) -> None:
        """Order the trigrams by how rare they are and keep the prefixes.

        Args:
            asked: The prompts to look for.
            threshold: Least Jaccard similarity, in (0, 1].
        """
        import numpy as np

        self._asked = asked
        self._threshold = threshold
        self._known = {asked.key(number): number for number in range(asked.prompts)}
        counts = np.bincount(asked.places, minlength=len(asked.table))
        prefixes: list[Any] = []
        self._needed = np.ones(asked.prompts, dtype=np.int64)
        for number in range(asked.prompts):
            places = asked.places[asked.starts[number] : asked.starts[number + 1]]
            least = math.ceil(threshold * len(places) - 1e-9)
            needed = max(min(_SHARED, least), 1)
            rarest = np.argsort(counts[places], kind="stable")
            self._needed[number] = needed
            prefixes.append(asked.table[places[rarest[: len(places) - least + needed]]])
        codes = np.concatenate([*prefixes, np.zeros(0, dtype=np.uint64)])
        owners = np.repeat(np.arange(asked.prompts), [len(prefix) for prefix in prefixes])
        order = np.argsort(codes, kind="stable")
        self._owners: Numbers = owners[order]
        self._words, self._first, self._counts = np.unique(codes[order], return_index=True, return_counts=True)

    def answer(self, train: Signature) -> list[Likeness]:
        """Return the asked prompts that are, or nearly are, in a set, each with the one most like it.

        Args:
            train: The set.
        """
        found = {
            asked: Likeness(asked, number, 1.0, exact=True)
            for number in range(train.prompts - 1, -1, -1)
            if (asked := self._known.get(train.key(number))) is not None
        }
        near: dict[int, Likeness] = {}
        for number, asked in self._candidates(train):
            if asked not in found:
                self._keep(near, train, number, asked)
        return [(found | near)[asked] for asked in sorted(found | near)]

    def _keep(self, near: dict[int, Likeness], train: Signature, number: int, asked: int) -> None:
        similarity = _jaccard(self._asked.members(asked), train.members(number))
        best = near.get(asked)
        if similarity >= self._threshold - 1e-12 and (best is None or similarity > best.similarity):
            near[asked] = Likeness(asked, number, similarity, exact=False)

    def _candidates(self, train: Signature) -> Iterable[tuple[int, int]]:
        """Yield (prompt of the set, asked prompt) that share enough of the rarest trigrams, by the set's order."""
        import numpy as np

        if not len(self._words) or not len(train.table):
            return
        # Each different trigram is looked up once, however many prompts have it.
        words = np.searchsorted(self._words, train.table)
        words[words == len(self._words)] = 0
        words[self._words[words] != train.table] = -1
        words = words[train.places]
        step = max(1, _MOST_PAIRS // max(self._asked.prompts, 1))
        for begin in range(0, train.prompts, step):
            end = min(begin + step, train.prompts)
            yield from self._pairs(train, words, begin, end)

    def _pairs(self, train: Signature, words: Numbers, begin: int, end: int) -> Iterable[tuple[int, int]]:
        """Yield the candidates among the prompts from `begin` to `end`."""
        import numpy as np

        starts, asked = train.starts[begin : end + 1], self._asked.prompts
        own = words[starts[0] : starts[-1]]
        hits = np.flatnonzero(own >= 0)
        rows = np.repeat(np.arange(end - begin), np.diff(starts))[hits]
        own = own[hits]
        counts = self._counts[own]
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        others = self._owners[np.repeat(self._first[own], counts) + offsets]
        shared = np.bincount(np.repeat(rows, counts) * asked + others, minlength=(end - begin) * asked)
        enough = np.flatnonzero(shared.reshape(-1, asked) >= self._needed)
        numbers, others = np.divmod(enough, asked)
        sizes = np.diff(self._asked.starts)[others], np.diff(starts)[numbers]
        close = np.minimum(*sizes) >= self._threshold * np.maximum(*sizes) - 1e-9
        yield from zip((numbers[close] + begin).tolist(), others[close].tolist(), strict=True)


def _jaccard(left: Codes, right: Codes) -> float:
    import numpy as np

    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common)
