"""Locks between processes on one machine, by `flock`: the kernel frees them however a process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_SHARED_MODE = 0o666  # another user of the machine must be able to wait for the same device


class FileLock:
    """An exclusive lock on a file. Not re-entrant; one object, one holder."""

    def __init__(self, path: Path) -> None:
        """Name the lock.

        Args:
            path: The lock file; made when missing, never removed.
        """
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free, at once.

        Returns:
            Whether it is ours now.

        Raises:
            OSError: The file cannot be made or opened.
        """
        fd = _open(self.path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; does nothing when it is not ours."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def held(path: Path) -> bool:
    """Say whether some process holds the lock of this file exclusively. Two that ask never disturb each other.

    Args:
        path: The lock file; one that is missing is free.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def waiting(path: Path, give_up: Callable[[float], bool], waits: Callable[[], None]) -> Generator[bool]:
    """Hold a lock for the time of the block, waiting for it as long as it takes.

    Args:
        path: The lock file.
        give_up: Called with seconds: waits that long and says whether to stop waiting.
        waits: Called once when somebody else holds the lock.

    Yields:
        Whether the lock is ours; False after giving up.
    """
    lock = FileLock(path)
    got = lock.acquire()
    if not got:
        waits()
    while not got and not give_up(0.1):
        got = lock.acquire()
    try:
        yield got
    finally:
        lock.release()


def machine_folder() -> Path:
    """Return the folder of locks that every broker on this machine shares."""
    return Path(tempfile.gettempdir()) / "finetune-broker-locks"


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        # Without O_CREAT first: in a sticky folder Linux refuses O_CREAT on a file of somebody else.
        return os.open(path, flags)
    if not path.parent.exists():
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            if path.parent == machine_folder():
                path.parent.chmod(0o1777)
    fd = os.open(path, flags | os.O_CREAT, _SHARED_MODE)
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, _SHARED_MODE)
    return fd
