"""The folder of a synthesis: what may be written there; and what is there, read leniently for a report."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from broker.errors import UserError
from broker.jobs.datasets import read_dataset, read_source
from broker.jobs.datasets.jsontext import is_object
from broker.jobs.rows import Dataset
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS, REJECTED, MANIFEST = "rows.jsonl", "rejected.jsonl", "manifest.json"
VALIDATION, TRAIN = "validation.jsonl", "train.jsonl"
_SUBSET = re.compile(r"train-\d+\.jsonl")


def subsets_in(folder: Path) -> list[Path]:
    """Return the training subsets in a folder: what a synthesis wrote and may replace.

    Args:
        folder: The folder.
    """
    return sorted(path for path in folder.glob("train-*.jsonl") if _SUBSET.fullmatch(path.name))


def holds(output: str, rows: int) -> bool:
    """Say whether a folder holds a whole data set of at least so many rows (blocking).

    Args:
        output: The folder.
        rows: How many are wanted.
    """
    return int(_written(output).get("accepted") or 0) >= rows


def otherwise_made(
    output: str, *, rows: int, pipeline: str, seed: int, model: str | None, options: Mapping[str, object]
) -> list[str]:
    """Return how the rows in a folder were made otherwise than they are wanted now (blocking).

    Args:
        output: The folder.
        rows: How many are wanted.
        pipeline: The pipeline's name.
        seed: Of the order and the split.
        model: The model without its account; None does not matter.
        options: Those that are given.

    Returns:
        A sentence for each difference, as "seed 0, not 1".
    """
    manifest = _written(output)
    there: dict[str, Any] = {"rows": manifest.get("requested"), "seed": manifest.get("seed")}
    wanted: dict[str, Any] = {"rows": rows, "seed": seed, **options}
    if ":" not in pipeline:  # a module's pipeline has a name of its own
        there["pipeline"], wanted["pipeline"] = manifest.get("pipeline"), pipeline
    kept: dict[str, Any] = manifest.get("options") or {}
    there |= {name: kept.get(name) for name in options}
    found = [f"{name} {there[name]}, not {wanted[name]}" for name in wanted if not _alike(there[name], wanted[name])]
    named = str(manifest.get("model") or "")
    if model and not named.endswith(f":{model.removeprefix('models/')}"):
        found.append(f"model {named}, not {model}")
    return found


def _alike(there: object, wanted: object) -> bool:
    """Compare what a file kept with what was given: numbers as numbers, lists by their words."""
    if isinstance(wanted, tuple):
        listed = cast("list[object]", there) if isinstance(there, list) else []
        return [str(item) for item in listed] == [str(item) for item in cast("tuple[object, ...]", wanted)]
    try:
        return float(str(there)) == float(str(wanted))
    except ValueError:
        return str(there) == str(wanted)


def require_folder(output: str) -> None:
    """Refuse a folder in which files would be lost, or that cannot be written (blocking).

    Args:
        output: The folder.

    Raises:
        UserError: It holds all that another job was to make, or files of the same names that no synthesis wrote; or it
            is none, or not to be written.
    """
    folder = Path(output)
    manifest = _written(output)
    if manifest and int(manifest.get("accepted") or 0) >= int(manifest.get("requested") or 0):
        fix = "name another --output, or remove the folder"
        raise UserError("this folder holds a data set that was made before", where=output, fix=fix)
    if not manifest and (there := _files_in(folder)):
        what = f"this folder holds {', '.join(there[:4])} and no {MANIFEST}: they would be replaced"
        raise UserError(what, where=output, fix="name another --output, or move these files")
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file", where="--output", fix="name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{nearest} cannot be written", where="--output", fix="name a folder of your own")


def _files_in(folder: Path) -> list[str]:
    named = [name for name in (ROWS, VALIDATION, TRAIN, REJECTED) if (folder / name).exists()]
    return named + [path.name for path in subsets_in(folder)]


def _written(output: str) -> Mapping[str, Any]:
    """Return the manifest of a folder, empty where there is none."""
    try:
        found = _json((Path(output) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if is_object(found) else {}


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
