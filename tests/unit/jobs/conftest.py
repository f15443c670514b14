"""Stores to test: SQLite always, PostgreSQL where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.jobs.store import Store, open_store

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

    server: str = request.getfixturevalue("postgres_server")
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
