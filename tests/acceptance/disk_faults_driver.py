"""Runs under `disk_faults.so`: breaks the disk at every call of every operation and says what was left.

Usage: python disk_faults_driver.py FOLDER {fail|kill|readonly}. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import StoreError
from broker.jobs.artifacts import Artifacts
from broker.jobs.ids import new_intent_key, new_job_id
from broker.jobs.records import EventKind, Experiment, Handle, Intent, Lease, NewEvent, NewJob
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import DatasetRef, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State
from broker.jobs.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE, SYNC, OPEN = 1, 2, 4
FAULTS = ctypes.CDLL(os.environ["LD_PRELOAD"])
ROWS = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=1, bytes=1, tokens=1, longest_tokens=1)
SPEC = TuneSpec(provider="fake", model="m", train=ROWS)


OPERATIONS = (
    *("transition", "record_intent", "record_handle", "add_jobs", "append_events", "release"),
    *("put_bytes", "put_lines", "append_rows", "rewrite_rows"),
)


class Scene:
    """A store with one job, artifacts and a row file, and what can be done to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(f"sqlite:///{folder}/broker.db")
        self.store.add_experiment(Experiment(name="e", created_at=datetime.now(UTC)))
        self.artifacts = Artifacts(folder / "artifacts")
        self.rows = RowFile(folder / "rows.jsonl")
        if not self.rows.read():
            self.rows.append([{"n": 0}])
        self.count = 0

    def lease(self) -> Lease:
        job = NewJob(id=new_job_id(JobKind.TUNE), spec=SPEC)
        self.store.add_jobs("e", [job])
        return self.store.claim("a", lease_s=600, limit=1, jobs=[job.id])[0][1]

    def lease_in(self, state: State) -> Lease:
        lease = self.lease()
        if state is not State.QUEUED:
            self.store.transition(lease, State.PREPARING)
        if state is State.SUBMITTING:
            self.store.record_intent(lease, self.intent(lease))
        return lease

    def transition(self) -> Callable[[], object]:
        lease = self.lease()
        return lambda: self.store.transition(lease, State.PREPARING)

    def record_intent(self) -> Callable[[], object]:
        lease = self.lease_in(State.PREPARING)
        return lambda: self.store.record_intent(lease, self.intent(lease))

    def record_handle(self) -> Callable[[], object]:
        lease = self.lease_in(State.SUBMITTING)
        return lambda: self.store.record_handle(lease, Handle(provider="fake", id="h"))

    def add_jobs(self) -> Callable[[], object]:
        jobs = [NewJob(id=new_job_id(JobKind.TUNE), spec=SPEC) for _ in range(30)]
        return lambda: self.store.add_jobs("e", jobs)

    def append_events(self) -> Callable[[], object]:
        events = [NewEvent(job_id="tune-x", kind=EventKind.LOG, data={"x": "y" * 500}) for _ in range(40)]
        return lambda: self.store.append_events(events)

    def release(self) -> Callable[[], object]:
        lease = self.lease()
        return lambda: self.store.release([lease])

    def put_bytes(self) -> Callable[[], object]:
        return lambda: self.artifacts.put_bytes(self.text())

    def put_lines(self) -> Callable[[], object]:
        return lambda: self.artifacts.put_lines([self.text().decode(), "more"])

    def append_rows(self) -> Callable[[], object]:
        return lambda: self.rows.append([{"n": self.count, "k": k, "x": "z" * 90} for k in range(5)])

    def rewrite_rows(self) -> Callable[[], object]:
        return lambda: self.rows.rewrite([{"n": self.count}])

    def text(self) -> bytes:
        return f"{self.count} ".encode() * 5000

    def intent(self, lease: Lease) -> Intent:
        return Intent(key=new_intent_key(), job_id=lease.job_id, attempt=1, spec=SPEC, created_at=datetime.now(UTC))

    def content(self) -> dict[str, Any]:
        """Return everything that is stored, as another process would read it."""
        with sqlite3.connect(self.folder / "broker.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
        connection.close()
        rows.pop("sqlite_sequence")
        files = {str(path): path.read_bytes() for path in self.artifacts.root.rglob("*") if path.is_file()}
        return {**rows, "files": files, "rows": (self.folder / "rows.jsonl").read_bytes()}


def fail(folder: Path) -> dict[str, Any]:
    """Fail each call of each operation in turn: an error and the old content, or no error and the new one."""
    wrong, points = list[str](), 0
    for name in OPERATIONS:
        (folder / name).mkdir()
        scene = Scene(folder / name)
        for code, half in ((errno.ENOSPC, 1), (errno.EIO, 0)):
            for at in itertools.chain(range(8), range(8, 999, 7)):
                if (found := fail_at(scene, name, at, code, half)) is None:
                    break
                place = f"{name}, call {at}, {errno.errorcode[code]}{', half' * half}"
                wrong += [f"{place}: {one}" for one in found]
                points += 1
        scene.store.close()
    return {"points": points, "wrong": wrong}


def fail_at(scene: Scene, name: str, at: int, code: int, half: int) -> list[str] | None:
    """Fail from the call with number `at` on; return what is wrong then, `None` when there are fewer calls."""
    scene.count += 1
    operation = getattr(scene, name)()
    before = scene.content()
    FAULTS.disk_faults_arm(WRITE | SYNC, at, code, half)
    error = None
    try:
        operation()
    except StoreError as raised:
        error = raised
    reached = FAULTS.disk_faults_seen() > at
    FAULTS.disk_faults_arm(0, 0, 0, 0)
    if not reached:
        return None
    if error is None:
        return ["no error, and nothing was stored"] * (scene.content() == before)
    found = complaints(scene, before, error)
    operation()  # the disk works again, and so does the store
    return found


def complaints(scene: Scene, before: dict[str, Any], error: StoreError) -> list[str]:
    after = scene.content()
    found = [f"{key} changed" for key in before if key not in {"files", "rows"} and after[key] != before[key]]
    # When only the sync of the folder failed, a file is there already: whole, and under its own hash.
    files = {path: data for path, data in after["files"].items() if before["files"].get(path) != data}
    if not before["files"].keys() <= after["files"].keys():
        found.append("a file is gone")
    found += [
        f"{path} is damaged" for path, data in files.items() if hashlib.sha256(data).hexdigest() != Path(path).name
    ]
    if after["rows"] not in (before["rows"], b'{"n":%d}\n' % scene.count):
        found.append("rows changed")
    if not error.fix or not error.where or "intact" not in error.message:
        found.append(f"the error says too little: {error}")
    return found


def kill(folder: Path) -> dict[str, Any]:
    """Kill the process at the n-th write or sync of a job's life; what it was told is stored must be there."""
    wrong, points = list[str](), 0
    (folder / "fresh").mkdir()
    Scene(folder / "fresh").store.close()
    for at in range(400):
        place = folder / str(at)
        shutil.copytree(folder / "fresh", place)
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            _live(place, at, writer)
        os.close(writer)
        with os.fdopen(reader) as stream:
            told = stream.read().split()
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        points += 1
        wrong += [f"killed at call {at}: {one}" for one in _left(place, told)]
    return {"points": points, "wrong": wrong}


def _live(folder: Path, at: int, writer: int) -> None:
    scene = Scene(folder)
    lease = scene.lease()
    FAULTS.disk_faults_arm(WRITE | SYNC, at, 0, 0)

    def tell(what: str) -> None:
        # Past the counted calls: the pipe is no disk.
        libc_write(writer, f"{what} ".encode())

    tell(lease.job_id)
    scene.store.transition(lease, State.PREPARING)
    tell("preparing")
    scene.store.record_intent(lease, scene.intent(lease))
    tell("submitting")
    scene.store.record_handle(lease, Handle(provider="fake", id="h"))
    tell("running")
    scene.rows.append([{"n": n} for n in range(1, 6)])
    tell("rows")
    tell(scene.artifacts.put_bytes(b"adapter" * 1000))
    scene.store.transition(lease, State.SUCCEEDED)
    tell("succeeded")
    os._exit(0)


def libc_write(descriptor: int, data: bytes) -> None:
    os.writev(descriptor, [data])


def _left(folder: Path, told: list[str]) -> list[str]:
    job_id, *steps = told
    store = open_store(f"sqlite:///{folder}/broker.db")
    job, events, intents = store.job(job_id), store.events(job_id), store.intents(job_id)
    store.close()
    path = [str(event.data["to"]) for event in events]
    order = ["queued", "preparing", "submitting", "running", "succeeded"]
    states = [one for one in steps if one in order]
    found = list[str]()
    if path != order[: len(path)] or path[-1] != job.state:
        found.append(f"state {job.state}, events {path}")
    if not len(states) <= len(path) - 1 <= len(states) + 1:
        found.append(f"told {states}, events {path}")
    if bool(intents) != ("submitting" in path) or (job.handle is not None) != ("running" in path):
        found.append(f"{len(intents)} intents, handle {job.handle}, events {path}")
    rows = [row["n"] for row in RowFile(folder / "rows.jsonl").read()]
    if rows != list(range(len(rows))) or ("rows" in steps and len(rows) != 6):
        found.append(f"rows {rows}")
    artifacts = Artifacts(folder / "artifacts")
    hashes = [one for one in steps if len(one) == 64]
    if any(artifacts.path(one).read_bytes() != b"adapter" * 1000 for one in hashes):
        found.append("an artifact is damaged")
    return found


def readonly(folder: Path) -> dict[str, Any]:
    """Refuse to open anything for writing, as a read-only file system does."""
    scene = Scene(folder)
    scene.store.close()
    wrong, points = list[str](), 0
    for attempt in (
        lambda: open_store(f"sqlite:///{folder}/broker.db").add_experiment(
            Experiment(name="f", created_at=datetime.now(UTC))
        ),
        lambda: open_store(f"sqlite:///{folder}/new.db"),
        lambda: scene.artifacts.put_bytes(b"new"),
        lambda: RowFile(folder / "rows.jsonl").append([{"n": 1}]),
        lambda: RowFile(folder / "new.jsonl").append([{"n": 1}]),
        lambda: scene.rows.rewrite([]),
    ):
        before = scene.content()
        FAULTS.disk_faults_arm(OPEN, 0, errno.EROFS, 0)
        try:
            attempt()
            wrong.append(f"attempt {points} went through")
        except StoreError as error:
            FAULTS.disk_faults_arm(0, 0, 0, 0)
            wrong += [f"attempt {points}: {one}" for one in complaints(scene, before, error)]
        FAULTS.disk_faults_arm(0, 0, 0, 0)
        points += 1
    return {"points": points, "wrong": wrong}


if __name__ == "__main__":
    report = {"fail": fail, "kill": kill, "readonly": readonly}[sys.argv[2]](Path(sys.argv[1]))
    sys.stdout.write(json.dumps(report))
