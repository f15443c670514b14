"""Content-addressed files: data sets, answers, adapters. A file is there whole, under its hash, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, BinaryIO

from broker.errors import StoreError
from broker.jobs.durable import guarded, make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
# A temporary file younger than this may belong to a writer that has not locked it yet.
_ABANDONED_S = 3600.0


class Artifacts:
    """A folder of files named by the SHA-256 of their content. Any number of threads and processes may share it.

    A file is written under a temporary name, synced, renamed, and its folder synced: after `put_*` returned, a crash
    loses nothing; if it raised, no half of a file is left behind.
    """

    def __init__(self, root: Path) -> None:
        """Open the folder, creating it, and clear away what killed writers left.

        Args:
            root: The folder.

        Raises:
            StoreError: It cannot be created or written.
        """
        self.root = root
        self._incoming = root / "incoming"
        with guarded(root, "open the artifact folder"):
            make_folder(self._incoming)
            self._sweep()

    def put_bytes(self, data: bytes) -> str:
        """Store bytes and return their SHA-256 in hex; content that is there already is not written again.

        Args:
            data: The content.

        Raises:
            StoreError: The disk refused (full, quota, read-only, broken).
        """
        sha256 = hashlib.sha256(data).hexdigest()
        return sha256 if self._holds(sha256, len(data)) else self._put([data])

    def put_lines(self, lines: Iterable[str]) -> str:
        """Store lines as one UTF-8 file, each ended by a newline, without holding them all; return the SHA-256.

        Args:
            lines: The lines, without their line ends.

        Raises:
            StoreError: The disk refused.
        """
        return self._put(line.encode() + b"\n" for line in lines)

    def put_file(self, source: Path, *, move: bool = False) -> str:
        """Store a file's content and return its SHA-256.

        Args:
            source: The file to take in.
            move: Rename it into the store instead of copying it, where both are on one file system.

        Raises:
            StoreError: The source cannot be read or the disk refused.
        """
        with guarded(source, "take in the file"):
            if move:
                return self._move(source)
            with source.open("rb") as stream:
                return self._put(_chunks(stream))

    def path(self, sha256: str) -> Path:
        """Return where a content lies. Do not write there.

        Args:
            sha256: Hash in hex, as `put_*` returned it.

        Raises:
            StoreError: There is no such content.
        """
        path = self._place(sha256)
        if not path.is_file():
            raise StoreError(
                f"the stored content {sha256[:12]}… is missing",
                where=str(path),
                fix="it was deleted from the data folder; submit again with the original file",
            )
        return path

    def has(self, sha256: str) -> bool:
        """Say whether a content is stored.

        Args:
            sha256: Hash in hex.
        """
        return _SHA256.fullmatch(sha256) is not None and self._place(sha256).is_file()

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise StoreError(f"{sha256!r} is not the hash of a stored content", where=str(self.root))
        return self.root / sha256[:2] / sha256

    def _holds(self, sha256: str, size: int) -> bool:
        with contextlib.suppress(OSError):
            return self._place(sha256).stat().st_size == size
        return False

    def _put(self, parts: Iterable[bytes]) -> str:
        with guarded(self.root, "store a file"):
            temporary = self._incoming / f"{os.getpid()}-{secrets.token_hex(8)}"
            try:
                sha256, size = _write(temporary, parts)
                self._publish(temporary, sha256, size)
            finally:
                temporary.unlink(missing_ok=True)
            return sha256

    def _move(self, source: Path) -> str:
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as stream:
            for part in _chunks(stream):
                digest.update(part)
                size += len(part)
            os.fsync(stream.fileno())
        if source.stat().st_dev == self.root.stat().st_dev:
            self._publish(source, digest.hexdigest(), size)
        else:
            with source.open("rb") as stream:
                self._put(_chunks(stream))
        source.unlink(missing_ok=True)
        return digest.hexdigest()

    def _publish(self, temporary: Path, sha256: str, size: int) -> None:
        if self._holds(sha256, size):
            return
        place = self._place(sha256)
        make_folder(place.parent)
        temporary.replace(place)
        sync_folder(place.parent)

    def _sweep(self) -> None:
        oldest = time.time() - _ABANDONED_S
        for path in self._incoming.iterdir():
            with contextlib.suppress(OSError), path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while part := stream.read(_CHUNK_BYTES):
        yield part


def _write(path: Path, parts: Iterable[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as stream:
        path.chmod(0o600)
        fcntl.flock(stream, fcntl.LOCK_SH)
        for part in parts:
            digest.update(part)
            size += stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest(), size
