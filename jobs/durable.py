"""What a file needs so that a crash never shows half of it, and the one error for a disk that refuses."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING

from broker.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_FIXES = {
    errno.ENOSPC: "free some space on this disk, or choose another one with BROKER_DATA_DIR, and try again",
    errno.EDQUOT: "your disk quota is used up: free some space or choose another folder with BROKER_DATA_DIR",
    errno.EFBIG: "a limit on file size is set (see `ulimit -f`): raise it, then run the command again",
    errno.EIO: "the disk reports a hardware error: check it (`dmesg`), or choose another one with BROKER_DATA_DIR",
    errno.EROFS: "the file system is read-only: mount it writable, or choose another folder with BROKER_DATA_DIR",
    errno.EACCES: "give yourself the right to write here, or choose another folder with BROKER_DATA_DIR",
    errno.EPERM: "give yourself the right to write here, or choose another folder with BROKER_DATA_DIR",
}
_OTHER_FIX = "check that the folder exists and can be written, or choose another one with BROKER_DATA_DIR"


def store_error(error: OSError, path: Path, doing: str) -> StoreError:
    """Return the error to raise for an operating system's one, with the place and the fix.

    Args:
        error: What the system said.
        path: The file or folder concerned.
        doing: What was tried, as in "cannot {doing}".
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    fix = _FIXES.get(error.errno or 0, _OTHER_FIX)
    return StoreError(f"cannot {doing}: {reason}; what was stored before is intact", fix=fix, where=str(path))


@contextlib.contextmanager
def guarded(path: Path, doing: str) -> Generator[None]:
    """Turn any `OSError` of the block into a `StoreError` that names the place.

    Args:
        path: The file or folder concerned.
        doing: What the block does, as in "cannot {doing}".

    Raises:
        StoreError: The system refused.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise store_error(error, path, doing) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; a short write (a disk that fills up) is tried on until the system says why.

    Args:
        descriptor: An open file.
        data: What to write.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file's content in one step: a reader sees the old content or the new one, also after a crash.

    Args:
        path: The file, in a folder that exists.
        data: All of its content.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            temporary.chmod(0o600)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Args:
        folder: The folder whose entries changed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably, readable by its owner only.

    Args:
        folder: The folder wanted.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)
