"""Compact letter display: who cannot be told apart from whom.

Two items share a letter exactly when they were not told apart. Ties are not transitive: with A tied to B and B tied to
C but A different from C, the letters are a, ab, b.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def compact_letters(names: Sequence[str], different: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the letters of each item, by insertion and absorption, then without letters that say nothing new.

    Args:
        names: The items, best first (the first letters go to the first items).
        different: Pairs that were told apart, in any order.

    Returns:
        Letters by name. When more than 26 are needed they go on with aa, ab, …, set apart by commas.

    Source: Piepho, J. Comput. Graph. Stat. 13:456 (2004).
    """
    columns = [frozenset(names)] if names else []
    for left, right in different:
        columns = _absorb(_split(columns, left, right))
    place = {name: i for i, name in enumerate(names)}
    columns = _needed(columns)
    columns.sort(key=lambda column: sorted(place[name] for name in column))
    marks = [_mark(i) for i in range(len(columns))]
    joint = "" if len(columns) <= len(ascii_lowercase) else ","
    return {
        name: joint.join(mark for mark, column in zip(marks, columns, strict=True) if name in column) for name in names
    }


def _split(columns: Sequence[frozenset[str]], left: str, right: str) -> list[frozenset[str]]:
    """Replace each column that holds both by two that hold one each."""
    parted: list[frozenset[str]] = []
    for column in columns:
        both = left in column and right in column
        parted += [column - {left}, column - {right}] if both else [column]
    return parted


def _absorb(columns: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Drop columns that lie within another."""
    unique = list(dict.fromkeys(columns))
    return [column for column in unique if not any(column < other for other in unique)]


def _needed(columns: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Drop columns whose every pair shares another column too, smallest first."""
    kept = sorted(columns, key=lambda column: (len(column), sorted(column)))
    for column in list(kept):
        others = [other for other in kept if other is not column]
        pairs = combinations_with_replacement(column, 2)
        if all(any(left in other and right in other for other in others) for left, right in pairs):
            kept = others
    return kept


def _mark(index: int) -> str:
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, len(ascii_lowercase))
        letters = ascii_lowercase[rest] + letters
    return letters
