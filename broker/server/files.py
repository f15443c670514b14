"""Files that clients sent, and files that the server made for them (step metrics, answers of batches)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from broker.errors import StoreError
from broker.jobs.blocking import blocking
from broker.server.documents import DocumentStore, Shelf
from broker.server.errors import ApiError, no_such_file, too_large
from broker.server.ids import new_id
from broker.server.records import FileRecord, unix_now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from anyio.abc import TaskGroup

SWEEP_S = 60.0


class Files:
    """All files, by id. Their bytes lie in one folder under their ids, which only the server makes."""

    def __init__(self, store: DocumentStore, folder: Path, *, stored_bytes: int) -> None:
        """Open the folder.

        Args:
            store: Where the documents are.
            folder: The server's own folder.
            stored_bytes: Most bytes that one token may keep.
        """
        self._shelf = Shelf(store, "server-file", FileRecord, lambda record: record.id)
        self._folder = folder / "files"
        self._incoming = folder / "incoming"
        self._stored_bytes = stored_bytes

    @property
    def incoming(self) -> Path:
        """Return the folder of files that are still coming in, on the same disk."""
        return self._incoming

    def start(self) -> None:
        """Make the folders and remove what an earlier run left half received."""
        for folder in (self._folder, self._incoming):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._incoming.glob("tmp-*.part"):
            left.unlink(missing_ok=True)

    async def check_room(self, owner: str, size: int) -> None:
        """Refuse a file that would pass what its owner may keep.

        Args:
            owner: Name of the token.
            size: Bytes to come.

        Raises:
            ApiError: 413.
        """
        kept = sum(record.bytes for record in await self.all() if record.owner == owner)
        if kept + size > self._stored_bytes:
            raise too_large("All your files together, with this one,", self._stored_bytes, param="file")

    async def add(self, record: FileRecord, source: Path) -> FileRecord:
        """Take over a file that lies in the incoming folder.

        Args:
            record: What is kept of it.
            source: Where it lies; it is moved.

        Returns:
            The record, once both the bytes and the record are safe.
        """
        await blocking(_move, source, self._folder / record.id)
        return await self._shelf.put(record)

    async def write(self, record: FileRecord, lines: Iterable[bytes]) -> FileRecord:
        """Store a file that the server makes.

        Args:
            record: What is kept of it; its `bytes` is set from what was written.
            lines: The content.
        """
        source = self._incoming / f"{new_id('tmp-')}.part"
        size = await blocking(_write, source, lines)
        return await self.add(_sized(record, size), source)

    async def find(self, file_id: str) -> FileRecord | None:
        """Return a file, or None when there is none or its time is over."""
        record = await self._shelf.get(file_id)
        return None if record is None or record.expired else record

    async def get(self, file_id: str) -> FileRecord:
        """Return a file. Raises `ApiError` 404."""
        record = await self.find(file_id)
        if record is None:
            raise no_such_file(file_id)
        return record

    async def all(self) -> list[FileRecord]:
        """Return all files whose time is not over."""
        return [record for record in await self._shelf.all() if not record.expired]

    def path(self, record: FileRecord) -> Path:
        """Return where the bytes of a file are."""
        return self._folder / record.id

    async def delete(self, file_id: str) -> None:
        """Delete a file and its bytes. Raises `ApiError` 404."""
        record = await self.get(file_id)
        await self._drop(record)

    async def sweep(self) -> None:
        """Delete what has expired."""
        for record in await self._shelf.all():
            if record.expired:
                await self._drop(record)

    async def _drop(self, record: FileRecord) -> None:
        await self._shelf.delete(record.id)
        await blocking(self.path(record).unlink, missing_ok=True)


async def sweep_forever(files: Files, tasks: TaskGroup) -> None:
    """Start deleting expired files every minute."""

    async def run() -> None:
        while True:
            await anyio.sleep(SWEEP_S)
            await files.sweep()

    tasks.start_soon(run)


def new_file(*, file_id: str, filename: str, size: int, purpose: str, life_s: int | None, owner: str) -> FileRecord:
    """Return the record of a file made now.

    Args:
        file_id: Its id.
        filename: As shown.
        size: Bytes.
        purpose: What it is for.
        life_s: Seconds until it goes away; `None` keeps it.
        owner: Name of the token.
    """
    now = unix_now()
    expires_at = None if life_s is None else now + life_s
    return FileRecord(
        id=file_id,
        filename=filename,
        bytes=size,
        purpose=purpose,
        created_at=now,
        expires_at=expires_at,
        owner=owner,
    )


def check_purpose(record: FileRecord, wanted: str, param: str) -> None:
    """Refuse a file that is for something else. Raises `ApiError` 400."""
    if record.purpose != wanted:
        message = f"The file {record.id} has the purpose '{record.purpose}', but '{wanted}' is needed here."
        raise ApiError(400, message, param=param, code="invalid_file_purpose")


def _sized(record: FileRecord, size: int) -> FileRecord:
    return FileRecord(
        id=record.id,
        filename=record.filename,
        bytes=size,
        purpose=record.purpose,
        created_at=record.created_at,
        expires_at=record.expires_at,
        owner=record.owner,
    )


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"the file cannot be kept: {error.strerror}", where=str(target)) from error


def _write(path: Path, lines: Iterable[bytes]) -> int:
    try:
        with path.open("xb") as file:
            size = sum(file.write(line) for line in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"the file cannot be written: {error.strerror}", where=str(path)) from error
    return size


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
