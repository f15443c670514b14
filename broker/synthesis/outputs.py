"""Reads what a synthesis wrote, or any data file, for a report. Lenient: what is missing is said, not refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import UserError
from broker.jobs.datasets import read_dataset, read_source
from broker.jobs.datasets.jsontext import is_object
from broker.jobs.rows import Dataset
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS, REJECTED, MANIFEST = "rows.jsonl", "rejected.jsonl", "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What was read.

    Attributes:
        name: What a person called it.
        dataset: The accepted rows, or those of the file.
        rejected: The rejected ones, as they were written.
        manifest: Of the folder, or empty.
        remarks: What was missing or could not be read.
    """

    name: str
    dataset: Dataset
    rejected: Sequence[Mapping[str, Any]] = ()
    manifest: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


def read_output(source: str, *, token: str | None = None) -> Output:
    """Read a data file, `hf:NAME[:split]`, or the folder of a synthesis.

    Args:
        source: As a person typed it.
        token: For gated data sets of the hub.

    Raises:
        DataError: Bad rows.
        UserError: The folder holds no rows.
    """
    folder = Path(source)
    if source.startswith("hf:") or not folder.is_dir():
        return Output(name=source, dataset=read_source(source, token=token), manifest={})
    if not (folder / ROWS).exists():
        fix = "name a file of rows, or the --output folder of a synthesis"
        raise UserError(f"there is no {ROWS} in this folder", where=source, fix=fix)
    remarks: list[str] = []
    return Output(
        name=source,
        dataset=_accepted(folder / ROWS, remarks),
        rejected=list(_lines(folder / REJECTED, remarks)),
        manifest=_manifest(folder / MANIFEST, remarks),
        remarks=tuple(remarks),
    )


def _accepted(path: Path, remarks: list[str]) -> Dataset:
    if not path.read_bytes().strip():
        remarks.append("no row was accepted")
        return Dataset(name=path.name, format=RowFormat.CHAT, rows=())
    return read_dataset(path, name=str(path))


def _lines(path: Path, remarks: list[str]) -> Iterator[Mapping[str, Any]]:
    if not path.exists():
        remarks.append(f"there is no {path.name}: rejected rows are counted by the manifest, or not at all")
        return
    unread = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            value = _json(line)
            if is_object(value):
                yield value
            elif line.strip():
                unread += 1
    if unread:
        remarks.append(f"{unread} line(s) of {path.name} cannot be read")


def _manifest(path: Path, remarks: list[str]) -> Mapping[str, Any]:
    value = _json(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    if is_object(value):
        return value
    what = "cannot be read" if path.exists() else "is missing"
    remarks.append(f"{path.name} {what}: nothing is known of the run as a whole")
    return {}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
