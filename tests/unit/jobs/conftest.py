"""Stores to test: SQLite always, PostgreSQL where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from broker.jobs.ids import new_intent_key, new_job_id
from broker.jobs.records import Experiment, Handle, Intent, Job, Lease, NewJob
from broker.jobs.spec import DatasetRef, EvaluateSpec, RowFormat, TuneSpec, kind_of
from broker.jobs.states import State
from broker.jobs.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FOLDERS = ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"]
_FAST = ["fsync=off", "listen_addresses=", "max_connections=200", "shared_buffers=32MB"]


def _binary(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([*_FOLDERS, os.environ.get("PATH", "")]))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server: the one in BROKER_TEST_POSTGRES, or a private one on a socket in a temporary folder."""
    if given := os.environ.get("BROKER_TEST_POSTGRES"):
        yield given
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra [postgres])")
    initdb, server = _binary("initdb"), _binary("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL here: set BROKER_TEST_POSTGRES or install Debian's package postgresql")
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="broker-pg-", dir="/tmp"))
    if user:
        shutil.chown(folder, user)
    command = [initdb, "-D", str(folder / "data"), "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*command, "--locale=C.UTF-8"], check=True, capture_output=True, user=user, cwd=folder)
    options = [part for option in _FAST for part in ("-c", option)]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [server, "-D", str(folder / "data"), "-k", str(folder), *options], user=user, cwd=folder, stdout=log, stderr=log
    )
    url = f"postgresql+psycopg://tester@/postgres?host={folder}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while process.poll() is None:
        try:
            psycopg.connect(_plain(url), connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL ended with {process.returncode}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/broker.db"
        return
    import psycopg
    from psycopg import sql

    server: str = request.getfixturevalue("postgres_server")
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def open_one(store_url: str) -> Iterator[Callable[[], Store]]:
    """A function that opens the same database once more."""
    opened: list[Store] = []

    def opener() -> Store:
        opened.append(open_store(store_url))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_one: Callable[[], Store]) -> Store:
    """A store of each kind."""
    return open_one()


ROWS = DatasetRef(
    sha256="ab" * 32, name="train.jsonl", format=RowFormat.CHAT, rows=9, bytes=999, tokens=99, longest_tokens=11
)


class Life:
    """Makes jobs of an experiment `tone` and drives them, in few words."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.add_experiment(Experiment(name="tone", created_at=datetime.now(UTC)))

    def tune(self, provider: str = "fake", **fields: Any) -> NewJob:
        spec = TuneSpec(
            provider=provider, model="m", train=ROWS, parameters={"rank": 64, "rate": 2e-4, "targets": ("q", "v")}
        )
        return NewJob(id=new_job_id(kind_of(spec)), spec=spec, **fields)

    def evaluate(self, tune: NewJob, **fields: Any) -> NewJob:
        spec = EvaluateSpec(provider="fake", validation=ROWS, tune_job=tune.id, metrics=("flesch",))
        fields.setdefault("depends_on", (tune.id,))
        return NewJob(id=new_job_id(kind_of(spec)), spec=spec, **fields)

    def add(self, *jobs: NewJob, experiment: str = "tone") -> list[Job]:
        return self.store.add_jobs(experiment, jobs)

    def added(self, **fields: Any) -> Job:
        return self.add(self.tune(**fields))[0]

    def claim(self, owner: str = "a", *, limit: int = 100, lease_s: float = 60, **filters: Any) -> dict[str, Lease]:
        return {job.id: lease for job, lease in self.store.claim(owner, lease_s=lease_s, limit=limit, **filters)}

    def claimed(self, **fields: Any) -> Lease:
        job = self.added(**fields)
        return self.claim(jobs=[job.id])[job.id]

    def intent(self, lease: Lease, attempt: int = 1) -> Intent:
        job = self.store.job(lease.job_id)
        assert isinstance(job.spec, TuneSpec)
        return Intent(key=new_intent_key(), job_id=job.id, attempt=attempt, spec=job.spec, created_at=datetime.now(UTC))

    def submitted(self, lease: Lease) -> Intent:
        self.store.transition(lease, State.PREPARING)
        intent = self.intent(lease, self.store.job(lease.job_id).attempt)
        self.store.record_intent(lease, intent)
        return intent

    def running(self, lease: Lease) -> Job:
        self.submitted(lease)
        return self.store.record_handle(lease, Handle(provider="fake", id=f"run-{lease.job_id}"))

    def end(self, lease: Lease, to: State, **changes: Any) -> Job:
        self.running(lease)
        job = self.store.transition(lease, to, **changes)
        self.store.release([lease])
        return job


@pytest.fixture
def life(store: Store) -> Life:
    return Life(store)


@pytest.fixture
def sqlite_life() -> Callable[[Store], Life]:
    """Makes a `Life` for a store that the test opened itself."""
    return Life
