"""The frozen split: rows to judge on, never trained on, and training subsets each of which holds the smaller ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from broker.jobs.datasets.overlaps import clusters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.jobs.rows import Dataset

# arXiv 2507.04889, 2.2: of 9,000 training rows also subsets of 100, 1,000 and 5,000.
PAPER_SIZES = (100, 1000, 5000)
PAPER_ROWS = 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Places of rows.

    Attributes:
        validation: To judge on, in the rows' order.
        train: To train on, shuffled: the first n of them are the subset of size n.
        subsets: Sizes of the subsets, rising, without the whole.
    """

    validation: tuple[int, ...]
    train: tuple[int, ...]
    subsets: tuple[int, ...]


def split_rows(dataset: Dataset, *, validation: float, subsets: Sequence[int] = (), seed: int = 0) -> Split:
    """Split accepted rows.

    Rows whose prompts are the same or nearly so (`broker.jobs.datasets.overlap` with its threshold), or that are made
    of one source text, stay on one side, so the validation part may be smaller by the rest of such a group.

    Args:
        dataset: The accepted rows.
        validation: How many rows to hold out; below 1 a share of all.
        subsets: Sizes wanted; scaled from the paper's when empty. Sizes beyond the training rows are left out.
        seed: Another seed gives another split.

    Returns:
        Disjoint places of all rows.
    """
    rows = len(dataset.rows)
    wanted = round(rows * validation) if validation < 1 else int(validation)
    held = _held_out(_joined([*clusters(dataset), *_of_one_source(dataset)]), min(wanted, rows), seed)
    train = [place for place in range(rows) if place not in held]
    Random(f"{seed}/train").shuffle(train)
    sizes = subsets or [round(len(train) * size / PAPER_ROWS) for size in PAPER_SIZES]
    return Split(
        validation=tuple(sorted(held)),
        train=tuple(train),
        subsets=tuple(sorted({size for size in sizes if 0 < size < len(train)})),
    )


def _of_one_source(dataset: Dataset) -> list[list[int]]:
    """Return the places of rows by the source that their lineage names."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(dataset.rows):
        source = row.extra.get("lineage", {}).get("source", {})
        name = source.get("sha256") or json.dumps(source, sort_keys=True)
        if source:
            found.setdefault(name, []).append(place)
    return list(found.values())


def _joined(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the groups with those joined that share a member, each in the order of its places."""
    first: dict[int, int] = {}

    def leader(place: int) -> int:
        while (above := first.setdefault(place, place)) != place:
            first[place] = place = first.setdefault(above, above)
        return place

    for group in groups:
        for place in group:
            one, other = sorted((leader(group[0]), leader(place)))
            first[other] = one
    joined: dict[int, list[int]] = {}
    for place in sorted(first):
        joined.setdefault(leader(place), []).append(place)
    return list(joined.values())


def _held_out(groups: Sequence[Sequence[int]], wanted: int, seed: int) -> set[int]:
    held: set[int] = set()
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}\0{group[0]}".encode()).digest()):
        if len(held) + len(group) <= wanted:
            held.update(group)
    return held
