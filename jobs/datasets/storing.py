"""Data sets in and out of the artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.jobs.datasets.canonical import canonical_lines, load_rows, to_line
from broker.jobs.datasets.tokens import sequence_tokens
from broker.jobs.durable import guarded
from broker.jobs.rows import Dataset, Row
from broker.jobs.spec import DatasetRef

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from broker.jobs.artifacts import Artifacts


def store_dataset(dataset: Dataset, artifacts: Artifacts) -> DatasetRef:
    """Put the canonical file of a data set into the artifacts; content that is there already is not written again.

    Args:
        dataset: Checked rows.
        artifacts: Where to.

    Returns:
        What specs carry: hashes, sizes and estimated tokens.

    Raises:
        StoreError: The disk failed; nothing half-done is left.
    """
    sha256 = artifacts.put_lines(canonical_lines(dataset))
    # Where the lines are not 1, 2, 3, … (a split, a header) they are kept too: messages name them.
    beside = any(row.extra or row.line != number for number, row in enumerate(dataset.rows, 1))
    extra = artifacts.put_lines(_extra_lines(dataset.rows)) if beside else None
    tokens = [sequence_tokens(row) for row in dataset.rows]
    return DatasetRef(
        sha256=sha256,
        name=dataset.name,
        format=dataset.format,
        rows=len(dataset.rows),
        bytes=artifacts.path(sha256).stat().st_size,
        tokens=sum(map(sum, tokens)),
        longest_tokens=max(map(max, tokens), default=0),
        extra_sha256=extra,
    )


def _extra_lines(rows: Iterable[Row]) -> Iterable[str]:
    return (to_line({"line": row.line, "extra": row.extra}) for row in rows)


def load_dataset(ref: DatasetRef, artifacts: Artifacts) -> Dataset:
    """Return a stored data set, its rows' other keys included.

    Args:
        ref: As `store_dataset` gave it.
        artifacts: Where from.

    Raises:
        StoreError: The file is not there.
        DataError: It was changed.
    """
    path = artifacts.path(ref.sha256)
    if ref.extra_sha256 is None:
        return Dataset(name=ref.name, format=ref.format, rows=tuple(load_rows(path)), ref=ref)
    with artifacts.path(ref.extra_sha256).open(encoding="utf-8") as extras:
        return Dataset(name=ref.name, format=ref.format, rows=tuple(load_rows(path, extras=extras)), ref=ref)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of rows as a whole: whoever stops it on the way finds no half file.

    Args:
        path: The file; its folder is made when missing, an older file of this name is replaced.
        lines: Without their ends.

    Raises:
        StoreError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with guarded(path, "write the rows"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
