"""A disk that fills up, breaks, or may not be written; a process that is killed: what was stored stays."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.errors import StoreError
from broker.jobs.store import open_store

_HERE = Path(__file__).parent
_LIMITED = """
import json, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from broker.errors import StoreError
from broker.jobs.artifacts import Artifacts
from broker.jobs.rowfile import RowFile
from broker.jobs.store import open_store

folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/broker.db")
artifacts, rows = Artifacts(folder / "a"), RowFile(folder / "r.jsonl")
row = {"text": "x" * 700}
documents = stored = appended = 0
errors = []
for point in range(20):
    largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 997 * point, resource.RLIM_INFINITY))
    try:
        while True:
            store.put_document("d", str(documents), row)
            documents += 1
    except StoreError as error:
        errors.append(str(error))
    try:
        while True:
            rows.append([row, row])
            appended += 2
    except StoreError as error:
        errors.append(str(error))
    try:
        artifacts.put_bytes(b"y" * (largest + 997 * point + 1))
    except StoreError as error:
        errors.append(str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len(store.documents("d")) == documents, (point, documents)
    assert len(rows.read()) == appended, (point, appended)
    assert not list((folder / "a" / "incoming").iterdir())
print(json.dumps(errors))
"""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler to break the disk")
    library = tmp_path_factory.mktemp("faults") / "disk_faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _HERE / "disk_faults.c", "-ldl"], check=True)
    return library


def _drive(faults: Path, folder: Path, mode: str) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, _HERE / "disk_faults_driver.py", folder, mode],
        env={**os.environ, "LD_PRELOAD": str(faults)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    report: dict[str, Any] = json.loads(process.stdout)
    return report


@pytest.mark.timeout(300)
def test_a_failing_write_or_sync_leaves_the_old_state(faults: Path, tmp_path: Path) -> None:
    report = _drive(faults, tmp_path, "fail")
    assert report["wrong"] == []
    assert report["points"] >= 100


@pytest.mark.timeout(300)
def test_a_kill_at_any_write_or_sync_loses_nothing_that_was_told(faults: Path, tmp_path: Path) -> None:
    report = _drive(faults, tmp_path, "kill")
    assert report["wrong"] == []
    assert report["points"] >= 50


def test_a_read_only_file_system_is_explained(faults: Path, tmp_path: Path) -> None:
    report = _drive(faults, tmp_path, "readonly")
    assert report == {"points": 6, "wrong": []}


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY, reason="a limit is set")
def test_a_limit_on_file_size_stops_cleanly(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    errors = json.loads(process.stdout)
    assert len(errors) == 60
    assert all("intact" in error and "fix:" in error and str(tmp_path) in error for error in errors)
    with sqlite3.connect(tmp_path / "broker.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_locked_store_says_who_may_hold_it(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom broker.jobs.store import database, open_store\n"
        "database._BUSY_S = 0.2\nstore = open_store(sys.argv[1])\nprint(flush=True)\ninput()\n"
        "from broker.errors import StoreError\n"
        "try: store.put_document('d', 'n', {})\n"
        "except StoreError as error: print(error)\n"
        "print(store.documents('d'))\ninput()\n"
        "store.put_document('d', 'n', {})\nprint(store.documents('d'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/broker.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    holder = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    process.stdin.write("\n")
    process.stdin.flush()
    said = [process.stdout.readline() for _ in range(3)]
    holder.execute("COMMIT")
    holder.close()
    rest, _ = process.communicate("\n", timeout=60)
    assert "another process kept the store locked" in said[0]
    assert "fuser" in said[1]
    assert said[2] == "{}\n"  # readers do not wait
    assert rest == "{'n': {}}\n"


@pytest.mark.parametrize("content", [b"", b"not a database, but text" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_store_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broker.db"
    path.write_bytes(content)
    if not content:
        open_store(f"sqlite:///{path}").close()  # an empty file is an empty store
        return
    with pytest.raises(StoreError, match=r"not a store|damaged") as error:
        open_store(f"sqlite:///{path}")
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create the folder of the store"):
        open_store(f"sqlite:///{tmp_path}/file/deep/broker.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path}")
