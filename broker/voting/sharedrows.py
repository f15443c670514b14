"""A file of rows that several threads and processes add to, read on from where the last look ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from broker.jobs.durable import guarded
from broker.jobs.rowfile import RowFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SharedRows:
    """Rows that only ever become more. Whoever adds one holds a lock that all share; reading needs none."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created by the first `append`.

        Args:
            path: The file.
        """
        self.path = path
        self._file = RowFile(path)
        self._reading = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._place = 0
        self._seen: int | None = None
        self._written: int | None = None

    def rows(self, after: int = 0) -> Sequence[dict[str, Any]]:
        """Return all rows from the given number on.

        Args:
            after: How many rows to leave out.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._reading:
            self._read_on()
            return self._rows[after:]

    def append(self, row: dict[str, Any]) -> None:
        """Store a row durably; the caller holds the lock that all share.

        Args:
            row: A JSON object.

        Raises:
            StoreError: The disk refused; the file is as it was.
        """
        if self._written != self._identity():
            self._file.close()  # another process put a mended file in the place of the one we had
        self._file.append([row])
        self._written = self._identity()

    def _read_on(self) -> None:
        identity = self._identity()
        if identity != self._seen:
            self._rows, self._place, self._seen = [], 0, identity
        rows, self._place = self._file.read_on(self._place)
        self._rows += rows

    def _identity(self) -> int | None:
        with guarded(self.path, "look at the rows"):
            try:
                return self.path.stat().st_ino
            except FileNotFoundError:
                return None
