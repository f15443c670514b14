"""Canonical form, content hash, the artifacts and back, token estimates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.errors import DataError
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import (
    content_hash,
    estimate_tokens,
    load_dataset,
    load_rows,
    read_dataset,
    row_tokens,
    store_dataset,
)
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {"messages": [{"role": "user", "content": f"Wie heißt du {i}? 😀"}, {"role": "assistant", "content": "Ann."}]}
    for i in range(5)
]
PAIRS = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b", "by": i} for i in range(3)]


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


def test_hash_does_not_depend_on_formatting(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", [json.dumps(row, ensure_ascii=False) for row in ROWS])
    spaced = write(tmp_path / "b.jsonl", [json.dumps(row, separators=(" , ", " : ")) for row in ROWS], "\r\n\n")
    turned = [{"messages": [dict(reversed(message.items())) for message in row["messages"]]} for row in ROWS]
    other_order = write(tmp_path / "c.jsonl", [json.dumps({"id": 1, **row}) for row in turned])
    array = tmp_path / "d.json"
    array.write_text(json.dumps(ROWS, indent=4))
    hashes = {content_hash(read_dataset(path)) for path in (plain, spaced, other_order, array)}
    assert len(hashes) == 1
    changed = write(tmp_path / "e.jsonl", [json.dumps(row).replace("Ann.", "Ann") for row in ROWS])
    assert content_hash(read_dataset(changed)) not in hashes


@pytest.mark.parametrize(("rows", "form"), [(ROWS, RowFormat.CHAT), (PAIRS, RowFormat.PREFERENCE)])
def test_stored_and_loaded_again(rows: list[object], form: RowFormat, tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path / "rows.jsonl", ["", *(json.dumps(row) for row in rows)]))
    artifacts = Artifacts(tmp_path / "artifacts")
    ref = store_dataset(dataset, artifacts)
    assert (ref.sha256, ref.rows, ref.format) == (content_hash(dataset), len(rows), form)
    path = artifacts.path(ref.sha256)
    assert ref.bytes == path.stat().st_size
    loaded = load_dataset(ref, artifacts)
    assert loaded.ref == ref
    assert [(row.messages, row.extra) for row in loaded.rows] == [(row.messages, row.extra) for row in dataset.rows]
    assert content_hash(read_dataset(path)) == ref.sha256, "the canonical file is its own canonical file"
    assert not {"by", "extra", "line"} & json.loads(path.read_text().splitlines()[0]).keys(), "ready for upload"
    if ref.extra_sha256:
        assert [row.line for row in loaded.rows] == [row.line for row in dataset.rows]


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows:2: not a canonical row"):
        list(load_rows([json.dumps(ROWS[0]), '{"messages": [']))
    with pytest.raises(DataError, match="not a canonical row: KeyError"):
        list(load_rows(["{}"]))


def test_token_estimates(tmp_path: Path) -> None:
    assert [estimate_tokens(text) for text in ("", "abcd", "abcde", "日本")] == [0, 1, 2, 2]
    (row, *_) = read_dataset(write(tmp_path / "a.jsonl", [json.dumps(ROWS[0])])).rows
    assert row_tokens(row, len) == len("Wie heißt du 0? 😀") + len("Ann.") + 8
    (pair, *_) = read_dataset(write(tmp_path / "b.jsonl", [json.dumps(PAIRS[0])])).rows
    assert row_tokens(pair, len) == 2 * (2 + 1 + 8)
    ref = store_dataset(read_dataset(tmp_path / "b.jsonl"), Artifacts(tmp_path / "artifacts"))
    assert (ref.tokens, ref.longest_tokens) == (20, 10)
