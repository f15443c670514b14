"""Artifacts: whole under their hash, or not there."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.errors import StoreError
from broker.jobs.artifacts import Artifacts

if TYPE_CHECKING:
    from collections.abc import Iterator


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_content_is_found_by_its_hash(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "deep" / "artifacts")
    data = b"rows \xff\n" * 1000
    sha256 = artifacts.put_bytes(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert artifacts.path(sha256).read_bytes() == data
    assert artifacts.has(sha256)
    source = tmp_path / "source"
    source.write_bytes(data)
    assert artifacts.put_file(source) == sha256
    assert source.exists()
    assert artifacts.put_lines(["ä", "b"]) == hashlib.sha256("ä\nb\n".encode()).hexdigest()
    assert artifacts.put_lines([]) == artifacts.put_bytes(b"")
    assert len(_files(artifacts.root)) == 3
    assert Artifacts(artifacts.root).path(sha256) == artifacts.path(sha256)
    assert artifacts.path(sha256).stat().st_mode & 0o777 == 0o600


def test_a_file_can_be_moved_in(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    for name in ("one", "two"):
        source = tmp_path / name
        source.write_bytes(b"adapter")
        sha256 = artifacts.put_file(source, move=True)
        assert not source.exists()
        assert artifacts.path(sha256).read_bytes() == b"adapter"
    assert len(_files(artifacts.root)) == 1


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system at /dev/shm")
def test_a_file_of_another_file_system_is_moved_in_by_copy(tmp_path: Path) -> None:
    source = Path("/dev/shm") / f"broker-test-{os.getpid()}"
    source.write_bytes(b"from afar")
    artifacts = Artifacts(tmp_path / "artifacts")
    assert artifacts.path(artifacts.put_file(source, move=True)).read_bytes() == b"from afar"
    assert not source.exists()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    with pytest.raises(StoreError, match="missing"):
        artifacts.path("ab" * 32)
    assert not artifacts.has("ab" * 32)
    for name in ("", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"):
        assert not artifacts.has(name)
        with pytest.raises(StoreError, match="not the hash"):
            artifacts.path(name)
    with pytest.raises(StoreError, match="nothing"):
        artifacts.put_file(tmp_path / "nothing")


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")

    def lines() -> Iterator[str]:
        yield "one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artifacts.put_lines(lines())
    assert _files(artifacts.root) == []


def test_a_damaged_copy_of_another_size_is_replaced(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    sha256 = artifacts.put_bytes(b"whole content")
    artifacts.path(sha256).write_bytes(b"whole")
    assert artifacts.put_bytes(b"whole content") == sha256
    assert artifacts.path(sha256).read_bytes() == b"whole content"


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    old, new = artifacts.root / "incoming" / "1-old", artifacts.root / "incoming" / "2-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    Artifacts(artifacts.root)
    assert _files(artifacts.root) == [new]


def test_threads_may_store_the_same_content_at_once(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(artifacts.put_bytes(bytes([n % 3]) * 50_000)))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(_files(artifacts.root)) == len(set(found)) == 3
