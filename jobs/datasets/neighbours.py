"""The near pairs within one set: which earlier prompts a prompt is like, quickly also where all have most in common.

A prefix filter (Bayardo et al. 2007, "Scaling up all pairs similarity search") finds candidates: sets with a Jaccard
similarity of at least t share k of their `|v| - ceil(t * |v|) + k` rarest members. Where prompts follow one pattern a
prefix is shared by thousands; there a few words of bits, one turned over by each member, say which sets may be near
(Sandes et al. 2017, "Bitmap filter"). The most promising are compared first, many at once, and only until what is asked
for is known. Nothing is sampled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.signatures import Signature, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.floating[Any]]

# So many of the rarest members must be shared before two sets are compared in full.
_SHARED = 3
# Candidates compared at once: few at first, for mostly one of them is like it, then more.
_FIRST, _MOST = 16, 4096
# A prompt's members in bits, 64 to a word.
_WORDS = 4
# Prompts between two words about how far it is.
_TOLD = 500


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""


class Neighbours:
    """The different prompts of a set, each to be compared with those before it."""

    def __init__(self, keys: Iterable[str], threshold: float) -> None:
        """Order the trigrams by how rare they are, and list the prompts in whose prefix each is.

        Args:
            keys: Different prompts' keys; their numbers are their places.
            threshold: Least Jaccard similarity of character trigrams, in (0, 1].
        """
        import numpy as np

        made = sign((key, 0) for key in keys)
        self._made: Signature = made
        self._threshold = threshold
        self._sizes: Numbers = np.diff(made.starts)
        self._marked = np.zeros(len(made.table), dtype=bool)
        counts = np.bincount(made.places, minlength=len(made.table))
        # Members behind each prefix.
        self._behind: Numbers = np.zeros(made.prompts, dtype=np.int64)
        self._prefixes: list[Numbers] = []
        for number, size in enumerate(self._sizes.tolist()):
            places = self._members(number)
            least = math.ceil(threshold * size - 1e-9)
            self._behind[number] = behind = max(0, least - _SHARED)
            rarest = np.argsort(counts[places], kind="stable")
            self._prefixes.append(places[rarest[: size - behind]].astype(np.int64))
        self._bits = _bits(made)
        words = np.concatenate([*self._prefixes, np.zeros(0, dtype=np.int64)])
        owners = np.repeat(np.arange(made.prompts), [len(prefix) for prefix in self._prefixes])
        self._owners: Numbers = owners[np.argsort(words, kind="stable")]
        self._first: Numbers = np.zeros(len(made.table) + 1, dtype=np.int64)
        np.cumsum(np.bincount(words, minlength=len(made.table)), out=self._first[1:])

    def __len__(self) -> int:
        """Return how many prompts there are."""
        return self._made.prompts

    def nearest(self, tell: Callable[[int, int], None] = silent) -> Iterator[tuple[int, float]]:
        """Yield for each prompt an earlier one that it is like, with their similarity; (-1, 0.0) where there is none.

        Args:
            tell: Told now and then how many prompts are done, of how many.
        """
        for number, candidates in self._walk(tell):
            best, similarity = -1, 0.0
            for some in _chunks(candidates):
                found = self._similarities(number, some)
                at = int(found.argmax())
                if found[at] >= self._threshold - 1e-12:
                    best, similarity = int(some[at]), float(found[at])
                    break
            yield best, similarity

    def groups(self, tell: Callable[[int, int], None] = silent) -> list[int]:
        """Return for each prompt the first of those that it is like, also by way of others between them.

        Args:
            tell: Told now and then how many prompts are done, of how many.
        """
        import numpy as np

        heads = np.arange(len(self))
        for number, candidates in self._walk(tell):
            size = _FIRST
            while len(candidates):
                some, candidates, size = candidates[:size], candidates[size:], min(2 * size, _MOST)
                near = some[self._similarities(number, some) >= self._threshold - 1e-12]
                for other in np.unique(heads[near]).tolist():
                    mine, theirs = sorted((int(heads[number]), other))
                    heads[: number + 1][heads[: number + 1] == theirs] = mine
                candidates = candidates[heads[candidates] != heads[number]]
        return [int(head) for head in heads]

    def _walk(self, tell: Callable[[int, int], None]) -> Iterator[tuple[int, Numbers]]:
        """Yield each prompt with the earlier ones that may be like it, the most promising first."""
        import numpy as np

        filled = self._first[:-1].copy()
        for number, prefix in enumerate(self._prefixes):
            if number % _TOLD == 0:
                tell(number, len(self))
            begins, ends = self._first[prefix], filled[prefix]
            if int((ends - begins).sum()) < number:
                lists = [self._owners[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
                shared = np.bincount(np.concatenate([*lists, self._owners[:0]]), minlength=1)
                some = np.flatnonzero(shared)
                some = some[shared[some] >= self._needed(number, some)]
            else:
                some = np.arange(number)
            yield number, self._promising(number, some)
            filled[prefix] += 1
        tell(len(self), len(self))

    def _needed(self, number: int, others: Numbers) -> Floats:
        """Return how many members the prefixes of a prompt and of each of some others must share at least.

        Sets of n and m members with a Jaccard similarity of t share t / (1 + t) * (n + m). Those that are not in both
        prefixes come, by rarity, after the end of the prefix that ends first: they are no more than stand behind it.
        """
        import numpy as np

        sizes, share = self._sizes[others] + self._sizes[number], self._threshold / (1 + self._threshold)
        needed: Floats = share * sizes - np.maximum(self._behind[others], self._behind[number]) - 1e-9
        return needed

    def _promising(self, number: int, others: Numbers) -> Numbers:
        """Return those of some earlier prompts whose bits do not differ too much, the most alike first.

        What two sets do not share are (1 - t) / (1 + t) * (n + m) members at most, and each changes one bit.
        """
        import numpy as np

        every = len(others) == number
        apart = np.zeros(len(others), dtype=np.uint16)
        for bits in self._bits:
            apart += np.bitwise_count((bits[:number] if every else bits[others]) ^ bits[number])
        sizes = self._sizes[:number] if every else self._sizes[others]
        share = (1 - self._threshold) / (1 + self._threshold)
        near = np.flatnonzero((apart <= share * (sizes + self._sizes[number]) + 1e-9) & (sizes > 0))
        return others[near[np.argsort(apart[near], kind="stable")]]

    def _members(self, number: int) -> NDArray[np.uint32]:
        return self._made.places[self._made.starts[number] : self._made.starts[number + 1]]

    def _similarities(self, number: int, others: Numbers) -> Floats:
        """Return the similarity of a prompt with each of some others."""
        import numpy as np

        mine = self._members(number)
        self._marked[mine] = True
        sizes = self._sizes[others]
        ends = np.cumsum(sizes)
        places = np.arange(int(ends[-1])) + np.repeat(self._made.starts[others] - (ends - sizes), sizes)
        hits = self._marked[self._made.places[places]]
        self._marked[mine] = False
        common = np.add.reduceat(hits, ends - sizes, dtype=np.int64)
        return common / (sizes + len(mine) - common)


def _bits(made: Signature) -> NDArray[np.uint64]:
    """Return for each prompt `_WORDS` words of bits, [words, prompts]: each member turns one of them over."""
    import numpy as np

    found = np.zeros((_WORDS, made.prompts), dtype=np.uint64)
    owners = np.repeat(np.arange(made.prompts), np.diff(made.starts))
    word, bit = np.divmod(made.places % (64 * _WORDS), 64)
    np.bitwise_xor.at(found, (word, owners), np.uint64(1) << bit.astype(np.uint64))
    return found


def _chunks(candidates: Numbers) -> Iterator[Numbers]:
    at, size = 0, _FIRST
    while at < len(candidates):
        yield candidates[at : at + size]
        at, size = at + size, min(2 * size, _MOST)
