"""Writes what a synthesis made: rows, their frozen split, what was rejected and why, and the whole as a manifest.

| file | what |
|---|---|
| `rows.jsonl` | every accepted row with its lineage |
| `validation.jsonl` | rows to judge on, never in a training file |
| `train.jsonl`, `train-N.jsonl` | the others, and their first N: each holds the smaller ones |
| `rejected.jsonl` | every row that was not good enough, with the reason |
| `manifest.json` | counts, costs, hashes, options, versions |

Each file is written under another name and renamed, the manifest last: with a manifest there is the whole of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.errors import DataError, UserError
from broker.jobs.datasets import read_dataset
from broker.jobs.datasets.jsontext import JsonFault, parse_json
from broker.jobs.datasets.reading import collect
from broker.jobs.datasets.records import Record
from broker.jobs.durable import write_whole
from broker.synthesis.outputs import MANIFEST, REJECTED, ROWS, TRAIN, VALIDATION, subsets_in
from broker.synthesis.pipeline import Pipeline
from broker.synthesis.rows import Rejection, Row, lineage
from broker.synthesis.splits import split_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a run came to.

    Attributes:
        pipeline: Which.
        model: The model that was asked, with its account.
        options: Of the pipeline, defaults included.
        seed: Of the job.
        accepted: Rows that came through, in order.
        rejected: Rows that did not.
        facts: Further members of the manifest (requests, costs, times, versions).
    """

    pipeline: Pipeline
    model: str
    options: Mapping[str, Any]
    seed: int
    accepted: Sequence[Row]
    rejected: Sequence[Rejection]
    facts: Mapping[str, Any]


def write_files(folder: Path, made: Made) -> dict[str, Any]:
    """Write all files (blocking).

    Args:
        folder: Made when it is missing; files of an earlier session of the job are replaced.
        made: What to write.

    Returns:
        The manifest.

    Raises:
        StoreError: The disk refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for old in subsets_in(folder):
        old.unlink()
    values = (written(row, made.pipeline, made.model, made.options) for row in made.accepted)
    lines = [json.dumps(value, ensure_ascii=False) for value in values]
    files = {ROWS: _write(folder / ROWS, lines), REJECTED: _write(folder / REJECTED, map(_refused, made.rejected))}
    parts, sizes = _parts(folder, made) if lines else ({}, ())
    for name, places in parts.items():
        files[name] = _write(folder / name, [lines[place] for place in places])
    manifest = {
        "format": FORMAT,
        "pipeline": made.pipeline.name,
        "row_format": str(made.pipeline.format),
        "model": made.model,
        "accepted": len(made.accepted),
        "rejected": _reasons(made.rejected),
        **made.facts,
        "split": {"validation": len(parts.get(VALIDATION, ())), "train": len(parts.get(TRAIN, ())), "subsets": sizes},
        "files": files,
        "options": {name: value for name, value in made.options.items() if value not in (None, ())},
        "seed": made.seed,
    }
    if made.pipeline.coverage is not None:
        manifest["coverage"] = made.pipeline.coverage(made.accepted)
    write_whole(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n")
    return manifest


def _parts(folder: Path, made: Made) -> tuple[dict[str, Sequence[int]], Sequence[int]]:
    dataset = read_dataset(folder / ROWS)
    sizes = [int(size) for size in made.options.get("subsets") or ()]
    split = split_rows(dataset, validation=float(made.options["validation"]), subsets=sizes, seed=made.seed)
    parts: dict[str, Sequence[int]] = {VALIDATION: split.validation, TRAIN: split.train}
    parts |= {f"train-{size}.jsonl": split.train[:size] for size in split.subsets}
    return parts, split.subsets


def written(row: Row, pipeline: Pipeline, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return an accepted row as it stands in the files.

    Args:
        row: The row.
        pipeline: Which made it.
        model: The model that was asked, with its account.
        options: Of the pipeline.
    """
    system = str(options.get("system") or "")
    origin = lineage(row, pipeline=pipeline.name, model=model)
    return {**pipeline.written(row, system), "lineage": origin}


def unfit(value: Mapping[str, Any], pipeline: Pipeline) -> str:
    """Return why what stands in the files could not be read again as a row to train on, or nothing.

    Args:
        value: An accepted row, from `written`.
        pipeline: Which wrote it.

    Raises:
        UserError: The pipeline writes rows of another form than it says.
    """
    try:
        form = collect([Record(1, parse_json(json.dumps(value)))], "row", "row", None).format
    except JsonFault as fault:
        return fault.what
    except DataError as error:
        return "; ".join(problem.what for problem in error.problems)
    if form is not pipeline.format:
        fix = f"Pipeline(…, format=RowFormat.{form.name})"
        raise UserError(f"the pipeline {pipeline.name} says {pipeline.format} and writes {form} rows", fix=fix)
    return ""


def _refused(one: Rejection) -> str:
    row = one.row
    data = {name: value for name, value in row.data.items() if name != "text"}
    told = {"id": row.id, "reason": one.reason, "detail": one.detail, "source": dict(row.source)}
    spent = {
        "input_tokens": row.trail.input_tokens,
        "output_tokens": row.trail.output_tokens,
        "cost_usd": round(row.trail.cost_usd, 8),
    }
    return json.dumps(
        {**told, "scores": dict(row.trail.scores), "attempts": dict(row.trail.attempts), **spent, "data": data},
        ensure_ascii=False,
        default=str,
    )


def _reasons(rejected: Sequence[Rejection]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in rejected:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _write(path: Path, lines: Iterable[str]) -> dict[str, Any]:
    # Half a character, which a rejected row may hold, is written as its escape.
    data = [line.encode(errors="backslashreplace") + b"\n" for line in lines]
    whole = b"".join(data)
    write_whole(path, whole)
    return {"rows": len(data), "sha256": hashlib.sha256(whole).hexdigest()}
