"""What a database says when it fails, in the words of `StoreError`: what, where, and what to do."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from broker.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

_INTACT = "what was stored before is intact"
_SPACE = "free some space on this disk, or choose another folder with BROKER_DATA_DIR, and run the command again"
_RIGHTS = "make the folder and the files in it writable for you, or choose another folder with BROKER_DATA_DIR"
_SQLITE = {
    sqlite3.SQLITE_FULL: ("the disk is full", _SPACE),
    sqlite3.SQLITE_IOERR: (
        "the disk failed or a limit on file size was reached",
        _SPACE + " (see `ulimit -f`, `dmesg`)",
    ),
    sqlite3.SQLITE_READONLY: ("the store cannot be written", _RIGHTS),
    sqlite3.SQLITE_CANTOPEN: ("the store cannot be opened", _RIGHTS),
    sqlite3.SQLITE_PERM: ("the store cannot be opened", _RIGHTS),
    sqlite3.SQLITE_BUSY: (
        "another process kept the store locked for too long",
        "find out which with `fuser` or `lsof` on this file, let it finish or stop it, and run the command again",
    ),
    sqlite3.SQLITE_NOTADB: (
        "this file is not a store",
        "give another path with BROKER_STORE_URL, or move the file away",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the store is damaged",
        "save what can be saved with `sqlite3 FILE .recover`, or put back a copy",
    ),
}
_SQLITE[sqlite3.SQLITE_LOCKED] = _SQLITE[sqlite3.SQLITE_BUSY]
# PostgreSQL's classes of errors (the first two characters of SQLSTATE).
_POSTGRES = {
    "08": ("the database server cannot be reached", "check that it runs and that BROKER_STORE_URL names it"),
    "28": ("the database server refused the user or password", "check user and password in BROKER_STORE_URL"),
    "3D": ("the database does not exist", "create it with `createdb NAME`"),
    "42": ("the database does not allow this", "grant the user all rights on the database"),
    "53": ("the database server has no space, memory or connections left", "make room on the server and try again"),
    "57": ("the database server is stopping or starting", "wait until it runs, then run the command again"),
    "58": ("the database server's disk failed", "check the server's disk and log"),
}
# A transaction that lost against another one may simply be tried again: deadlock, serialization failure.
_TRY_AGAIN = {"40001", "40P01"}


def worth_repeating(error: DBAPIError) -> bool:
    """Say whether the same transaction may succeed when it is run again at once."""
    return getattr(error.orig, "sqlstate", None) in _TRY_AGAIN


def store_error(error: DBAPIError, where: str) -> StoreError:
    """Translate a driver's error.

    Args:
        error: As SQLAlchemy raised it.
        where: The store's file or URL, without the password.
    """
    what, fix = _explain(error)
    return StoreError(f"{what}; {_INTACT}", where=where, fix=fix)


def _explain(error: DBAPIError) -> tuple[str, str]:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return _SQLITE.get(code, (_first_line(cause), "run `broker doctor`"))
    state = getattr(cause, "sqlstate", None) or "08"
    known = _POSTGRES.get(state[:2])
    return known or (f"{_first_line(cause)} (SQLSTATE {state})", "see the database server's log")


def _first_line(cause: object) -> str:
    lines = str(cause).splitlines() or [type(cause).__name__]
    return f"the database says: {lines[0]}"
