"""The fake's far side: a ledger file that outlives the broker, so it can tell how often a job was really created.

The ledger is a JSON-lines file of everything that was asked for. Its answer to "how many jobs has this intent?" is the
yardstick of every test about paying twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


@dataclass(slots=True)
class RemoteJob:
    """One job on the far side.

    Attributes:
        id: The remote's own id.
        key: The intent it was created for.
        model: The base model.
        polls: How often it was looked at; it advances by looks, never by the clock.
        wanted: `run`, `pause` or `cancel`.
        listed_after: It stays invisible to listings until this many listings were made.
    """

    id: str
    key: str
    model: str
    polls: int = 0
    wanted: str = "run"
    listed_after: int = 0


@dataclass(slots=True)
class FakeRemote:
    """A remote that keeps its jobs in a file.

    Attributes:
        path: The ledger file.
        steps: Looks until a job has succeeded.
        list_lag: Listings for which a new job stays invisible.
        fail: The code with which every job fails, if any.
        jobs: Jobs by id.
        files: How often each content was uploaded.
        listings: How often the jobs were listed.
    """

    path: Path
    steps: int = 3
    list_lag: int = 0
    fail: str = ""
    jobs: dict[str, RemoteJob] = field(default_factory=dict[str, RemoteJob])
    files: Counter[str] = field(default_factory=Counter[str])
    listings: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: int = 0
    _file: BinaryIO = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the ledger again: the remote remembers what a killed broker forgot."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self._refresh()

    def upload(self, sha256: str) -> str:
        """Store a file; return its id."""
        with self._turn():
            self._write({"call": "upload", "sha256": sha256})
            return f"file-{sha256[:12]}-{self.files[sha256]}"

    def create(self, key: str, model: str) -> str:
        """Create a job, always a new one, as a careless remote does; return its id."""
        with self._turn():
            job_id = f"fake-{len(self.jobs) + 1:06d}"
            self._write({"call": "create", "key": key, "model": model, "id": job_id})
            return job_id

    def want(self, job_id: str, wanted: str) -> None:
        """Note a wish: `run`, `pause` or `cancel`."""
        with self._turn():
            self._write({"call": "want", "id": job_id, "wanted": wanted})

    def find(self, key: str) -> str | None:
        """Return the id of the listed job of an intent."""
        self._refresh()
        self.listings += 1
        listed = (job for job in self.jobs.values() if job.key == key and self.listings > job.listed_after)
        return next((job.id for job in listed), None)

    def look(self, job_id: str) -> str | None:
        """Return a job's raw status and let it advance; None when there is no such job."""
        if job_id not in self.jobs:
            self._refresh()
        job = self.jobs.get(job_id)
        if job is None:
            return None
        if job.wanted != "run":
            return {"pause": "paused", "cancel": "cancelled"}[job.wanted]
        job.polls += 1
        if job.polls < self.steps:
            return "running"
        return "failed" if self.fail else "succeeded"

    def close(self) -> None:
        """Close the ledger."""
        self._file.close()

    def jobs_per_intent(self) -> Counter[str]:
        """Return how many jobs each intent has: a value above 1 is a job paid twice."""
        return Counter(job.key for job in self.jobs.values())

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Take turns with other processes, as the clients of one remote do."""
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._refresh()
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write((json.dumps({**row, "pid": os.getpid()}) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._refresh()

    def _refresh(self) -> None:
        """Read what was written since the last look, by whomever."""
        self._file.seek(self._seen)
        for line in self._file:
            if line.endswith(b"\n"):
                self._seen += len(line)
                self._apply(json.loads(line))

    def _apply(self, row: Mapping[str, Any]) -> None:
        if row["call"] == "upload":
            self.files[row["sha256"]] += 1
        elif row["call"] == "create":
            self.jobs[row["id"]] = RemoteJob(
                id=row["id"], key=row["key"], model=row["model"], listed_after=self.listings + self.list_lag
            )
        else:
            self.jobs[row["id"]].wanted = row["wanted"]
