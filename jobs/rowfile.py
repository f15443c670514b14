"""An append-only file of JSON rows that survives a crash in the middle of a write."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from broker.jobs.durable import guarded, make_folder, sync_folder, write_all, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


class RowFile:
    """Rows, one JSON object a line. A row is stored when `append` returned; a torn one is as if it never was.

    Reading never changes the file, so it may be read while another process writes. The torn tail that a killed writer
    left is cut off before the first row is appended. A damaged line before the end (a disk fault, a lost page) is left
    out too; then the file as it was is kept beside this one as `NAME.damaged`.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is created by the first `append`.

        Args:
            path: The file.

        Raises:
            StoreError: It cannot be read.
        """
        self.path = path
        self._descriptor: int | None = None
        self.read()

    def __enter__(self) -> RowFile:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def read(self) -> list[dict[str, Any]]:
        """Return all complete rows, in the order in which they were written.

        Raises:
            StoreError: The file cannot be read.
        """
        with guarded(self.path, "read the rows"):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return []
        return [row for _, row in _rows(data) if row is not None]

    def read_on(self, place: int) -> tuple[list[dict[str, Any]], int]:
        """Return the complete rows behind a place in the file, and the place behind them.

        Args:
            place: Bytes to leave out: 0, or what an earlier call returned for the same file.

        Raises:
            StoreError: The file cannot be read.
        """
        with guarded(self.path, "read the rows"):
            try:
                with self.path.open("rb") as stream:
                    stream.seek(place)
                    data = stream.read()
            except FileNotFoundError:
                return [], 0
        whole = data[: data.rfind(b"\n") + 1]
        return [row for _, row in _rows(whole) if row is not None], place + len(whole)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store rows durably, all or none: one write, one sync.

        Args:
            rows: JSON objects.

        Raises:
            StoreError: The disk refused; the file is as it was.
        """
        if not rows:
            return
        data = b"".join(_line(row) for row in rows)
        with guarded(self.path, "store rows"):
            descriptor = self._open()
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, (b"" if _ends_whole(descriptor, before) else b"\n") + data)
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the whole content in one step: a reader sees the old rows or the new ones.

        Args:
            rows: JSON objects.

        Raises:
            StoreError: The disk refused; the rows are the old ones (or, when only the folder could not be synced, the
                new ones), never a part.
        """
        self.close()
        with guarded(self.path, "rewrite the rows"):
            make_folder(self.path.parent)
            write_whole(self.path, b"".join(_line(row) for row in rows))

    def close(self) -> None:
        """Release the file; a later `append` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            make_folder(self.path.parent)
            new = not self.path.exists()
            if not new:
                _mend(self.path)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            if new:
                sync_folder(self.path.parent)
        return self._descriptor


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(row), separators=(",", ":")).encode() + b"\n"


def _rows(data: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield every line with its newline and, where it is whole, its row."""
    for line in _split(data):
        row: Any = None
        if line.endswith(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
        yield line, row if isinstance(row, dict) else None


def _split(data: bytes) -> Iterator[bytes]:
    parts = data.split(b"\n")
    yield from (part + b"\n" for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]


def _mend(path: Path) -> None:
    data = path.read_bytes()
    lines = list(_rows(data))
    good = b"".join(line for line, row in lines if row is not None)
    if good == data:
        return
    if data.startswith(good):
        _truncate(path, len(good))
        return
    write_whole(path.with_name(path.name + ".damaged"), data)
    write_whole(path, good)


def _truncate(path: Path, size: int) -> None:
    with path.open("rb+") as stream:
        stream.truncate(size)
        os.fsync(stream.fileno())


def _ends_whole(descriptor: int, size: int) -> bool:
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
