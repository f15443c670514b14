"""Splitting a data set into training and validation rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import DataError, Problem
from broker.jobs.datasets.overlaps import prompt_key

if TYPE_CHECKING:
    from broker.jobs.rows import Dataset


def split(
    dataset: Dataset, *, validation_rows: int | None = None, fraction: float | None = None, seed: int = 713
) -> tuple[Dataset, Dataset]:
    """Split into training and validation rows, both in the file's order.

    Rows that ask the same thing (equal but for case, punctuation and white space) stay on one side, so the validation
    part may be smaller by the rest of such a group. Which side a prompt is on depends only on its text, the seed and
    the prompts beside it, not on the file's order.

    Args:
        dataset: At least two different prompts.
        validation_rows: How many rows to hold out; or
        fraction: which part of the rows, in (0, 1).
        seed: Another seed gives another split.

    Returns:
        Training and validation rows, under the data set's name.

    Raises:
        DataError: Nothing would be left on one side.
        ValueError: Neither, or both, of `validation_rows` and `fraction` were given.
    """
    if (validation_rows is None) == (fraction is None):
        raise ValueError("give either validation_rows or fraction")
    wanted = validation_rows if validation_rows is not None else round(len(dataset.rows) * (fraction or 0.0))
    held = _held_out(dataset, wanted, seed)
    if not 0 < len(held) < len(dataset.rows):
        what = f"cannot hold out {wanted} of {len(dataset.rows)} rows: one side would be empty"
        fix = "hold out at least one row and fewer than there are; rows with one prompt cannot be parted"
        raise DataError([Problem(where=dataset.name, what=what, fix=fix)])
    train = tuple(row for index, row in enumerate(dataset.rows) if index not in held)
    validation = tuple(row for index, row in enumerate(dataset.rows) if index in held)
    return replace(dataset, rows=train, ref=None), replace(dataset, rows=validation, ref=None)


def _held_out(dataset: Dataset, wanted: int, seed: int) -> set[int]:
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(dataset.rows):
        groups.setdefault(prompt_key(row), []).append(index)
    held: set[int] = set()
    for key in sorted(groups, key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).digest()):
        if len(held) + len(groups[key]) <= wanted:
            held.update(groups[key])
    return held


def marked_split(dataset: Dataset, key: str = "split") -> tuple[Dataset, Dataset] | None:
    """Split by the rows' own marks, when a file says itself which rows are for what.

    Args:
        dataset: Rows that may carry `"split": "train"` or `"split": "validation"` beside their messages.
        key: The name of that key.

    Returns:
        Training and validation rows, in the file's order; None unless every row is marked and both sides have rows.
    """
    sides = {mark: tuple(row for row in dataset.rows if row.extra.get(key) == mark) for mark in ("train", "validation")}
    if not all(sides.values()) or sum(map(len, sides.values())) != len(dataset.rows):
        return None
    return replace(dataset, rows=sides["train"], ref=None), replace(dataset, rows=sides["validation"], ref=None)
