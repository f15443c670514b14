"""What is known about batches that were asked for: one file each, written before anything is sent.

A batch is looked up by its rows: whoever asks for a row that is already under way in a batch gets that batch's answer,
and nothing is paid twice when a broker stopped in the middle.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from broker.jobs.codec import load
from broker.jobs.ids import new_intent_key
from broker.jobs.rowfile import RowFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# Longer than a batch may take (24 hours) and shorter than its files live (30 days).
_REUSE_S = 48 * 3600.0
_ID_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a batch.

    Attributes:
        id: Hash of what is asked, by which its answer is found.
        request_id: The caller's own id.
        text: The row as it goes into the input file.
    """

    id: str
    request_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One batch.

    Attributes:
        key: Random; travels with the batch.
        model: The model asked.
        rows: Ids of its rows.
        begun_at: When it was planned, seconds since 1970.
        sha256: Content of its input file.
        sent_at: When the creating call last went out; 0 is never.
        sends: How often it went out.
        batch_id: The remote batch, once known.
    """

    key: str
    model: str
    rows: tuple[str, ...]
    begun_at: float
    sha256: str = ""
    sent_at: float = 0.0
    sends: int = 0
    batch_id: str = ""


class Book:
    """The records of one account, a folder of small files. Blocking."""

    def __init__(self, folder: Path) -> None:
        """Open the book; the folder is made when something is written.

        Args:
            folder: Where the files lie.
        """
        self._folder = folder

    @classmethod
    def of(cls, data_dir: Path, account: str) -> Book:
        """Return the book of an account.

        Args:
            data_dir: The broker's data folder.
            account: The account's name.
        """
        return cls(data_dir / "batches" / re.sub(r"[^\w.+-]+", "_", account))

    def add(self, model: str, lines: Iterable[Line], sha256: str) -> Record:
        """Write a new record, before anything is sent.

        Args:
            model: The model asked.
            lines: Its rows.
            sha256: Content of its input file.
        """
        rows = tuple(line.id for line in lines)
        return self.write(Record(key=new_intent_key(), model=model, rows=rows, begun_at=time.time(), sha256=sha256))

    def sent(self, record: Record) -> Record:
        """Count a send before it goes out."""
        return self.write(replace(record, sent_at=time.time(), sends=record.sends + 1))

    def found(self, record: Record, batch_id: str) -> Record:
        """Write which remote batch it is."""
        return self.write(replace(record, batch_id=batch_id))

    def write(self, record: Record) -> Record:
        """Write a record, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = RowFile(self._path(record))
        file.rewrite([asdict(record)])
        file.close()
        return record

    def drop(self, record: Record) -> None:
        """Forget a record."""
        self._path(record).unlink(missing_ok=True)

    def holding(self, model: str, wanted: Iterable[str]) -> list[Record]:
        """Return the records of batches that hold wanted rows and are young enough, oldest first.

        Args:
            model: The model asked.
            wanted: Ids of rows.
        """
        if not self._folder.is_dir():
            return []
        ids = set(wanted)
        records = [_record(row) for path in self._folder.glob("*.jsonl") for row in RowFile(path).read()[:1]]
        young = (one for one in records if one.model == model and time.time() - one.begun_at < _REUSE_S)
        return sorted((one for one in young if not ids.isdisjoint(one.rows)), key=lambda one: one.begun_at)

    def _path(self, record: Record) -> Path:
        return self._folder / f"{record.key}.jsonl"


def row_id(request_id: str, body: Mapping[str, Any]) -> str:
    """Return the id of a row: the same question of the same caller is the same row.

    Args:
        request_id: The caller's own id.
        body: What is asked.
    """
    told = json.dumps([request_id, body], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:_ID_LENGTH]


def parcels(lines: Iterable[Line], *, most_rows: int, most_bytes: int) -> list[list[Line]]:
    """Return rows in parcels that fit into a batch.

    Args:
        lines: The rows.
        most_rows: Most rows of a batch.
        most_bytes: Largest input.
    """
    made: list[list[Line]] = []
    size = 0
    for one in lines:
        length = len(one.text.encode()) + 1
        if not made or len(made[-1]) >= most_rows or size + length > most_bytes:
            made.append([])
            size = 0
        made[-1].append(one)
        size += length
    return made


def _record(row: Mapping[str, Any]) -> Record:
    return load(Record, row)
