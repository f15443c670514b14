"""Parquet and the Hugging Face hub: tables of columns to records, with their packages imported on use."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeGuard

from broker.errors import MissingExtraError, Problem
from broker.jobs.datasets.records import Record

if TYPE_CHECKING:
    from pathlib import Path

_BATCH_ROWS = 1024


def read_parquet(path: Path, label: str) -> Iterator[Record | Problem]:
    """Yield the rows of a Parquet file, batch by batch.

    Args:
        path: The file.
        label: What problems call it.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        pyarrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError(
            "reading Parquet needs pyarrow", fix="pip install 'finetune-broker[parquet]'", where=label
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            yield from table_records((row for batch in batches for row in batch.to_pylist()), label)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        what = f"not a readable Parquet file: {str(error).splitlines()[0][:120]}"
        yield Problem(where=label, what=what, fix="write the file again, or give its rows as JSONL")


def table_records(rows: Iterable[Mapping[str, Any]], label: str) -> Iterator[Record | Problem]:
    """Yield table rows as records of plain JSON values, numbered from 1.

    Columns make every row carry every key; a null there means "not given" and is left out.

    Args:
        rows: The rows.
        label: What problems call the table.
    """
    for number, row in enumerate(rows, 1):
        try:
            yield Record(number, _plain(row, ""))
        except TypeError as error:
            yield Problem(where=f"{label}:{number}", what=str(error), fix="drop the column, or write it as text")


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _plain(value: Any, place: str) -> Any:
    if _is_mapping(value):
        items = ((str(key), _plain(entry, f"{place}.{key}" if place else str(key))) for key, entry in value.items())
        return {key: entry for key, entry in items if entry is not None}
    if _is_sequence(value):
        return [_plain(entry, f"{place}[{index}]") for index, entry in enumerate(value)]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"the column {place} holds {type(value).__name__}, which is no text, number or list")
