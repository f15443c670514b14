"""Files that survive a crash at any instant: written to a temporary name, synced, renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file as a whole.

    Args:
        path: The file; its folder must exist.
        data: Plain JSON data.

    Raises:
        OSError: The disk is full or read-only; the old file is intact and no temporary file is left.
    """
    temporary = _beside(path)
    try:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        sync(temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def new_folder(final: Path) -> Path:
    """Return a new, empty folder beside `final`, to be filled and then published.

    Args:
        final: What it will be called.
    """
    temporary = _beside(final)
    temporary.mkdir(parents=True)
    return temporary


def publish(temporary: Path, final: Path) -> None:
    """Give a filled folder its name; a folder that had it is replaced.

    Args:
        temporary: From `new_folder`.
        final: The name.
    """
    for path in temporary.rglob("*"):
        sync(path)
    sync(temporary)
    if final.exists():
        old = _beside(final)
        final.rename(old)
        temporary.rename(final)
        shutil.rmtree(old)
    else:
        temporary.rename(final)
    sync(final.parent)


def sweep(folder: Path) -> None:
    """Remove what a crash left half-done in a folder.

    Args:
        folder: Where `write_json` and `new_folder` worked; nobody may work there now.
    """
    for path in folder.glob(".new-*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def sync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    return path.parent / f".new-{path.name}-{uuid.uuid4().hex[:8]}"
