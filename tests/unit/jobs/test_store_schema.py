"""The schema brings itself up to date, once, whoever comes first."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from broker.errors import MissingExtraError, StoreError, UserError
from broker.jobs.records import Experiment
from broker.jobs.store import open_store
from broker.jobs.store.migration import FOLDER
from broker.jobs.store.schema import metadata
from broker.jobs.store.version import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from broker.jobs.store import Store

_OPEN = """
import sys
from broker.jobs.store import open_store
store = open_store(sys.argv[1])
store.put_document("opened", sys.argv[2], {})
heavy = {"alembic", "torch", "numpy", "anyio", "pandas"} & set(sys.modules)
print(len(store.documents("opened")), *sorted(heavy))
"""


def _opener(url: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _OPEN, url, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _statements(connection: Connection) -> set[str]:
    query = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version'")
    return {" ".join(one.split()) for one in connection.execute(query).scalars()}


def _statements_of_tables() -> set[str]:
    with create_engine("sqlite://").begin() as connection:
        metadata.create_all(connection)
        return _statements(connection)


def test_the_constant_is_alembics_head() -> None:
    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER / "versions")])
    assert scripts.get_heads() == [HEAD]


def test_the_tables_are_what_the_migrations_make(store_url: str) -> None:
    open_store(store_url).close()
    engine = create_engine(store_url)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":  # Alembic cannot compare its descending indexes: compare the statements
            assert _statements(connection) == _statements_of_tables()
        else:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
    engine.dispose()


def test_processes_that_start_at_once_make_one_schema(store_url: str, open_one: Callable[[], Store]) -> None:
    processes = [_opener(store_url, str(number)) for number in range(4)]
    for process in processes:
        _, complaints = process.communicate(timeout=100)
        assert process.returncode == 0, complaints
    assert len(open_one().documents("opened")) == 4


def test_threads_that_start_at_once_make_one_schema(store_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for store in pool.map(open_store, [store_url] * 6):
            assert store.jobs() == []
            store.close()


def test_an_up_to_date_store_opens_without_alembic(store_url: str) -> None:
    open_store(store_url).close()
    said, complaints = _opener(store_url, "x").communicate(timeout=100)
    assert said.split() == ["1"], complaints


def test_a_store_of_the_first_schema_grows(store_url: str) -> None:
    store = open_store(store_url)
    store.add_experiment(Experiment(name="tone", created_at=datetime.now(UTC), budget_usd=1.0))
    store.close()
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE expenses"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    store = open_store(store_url)
    assert store.expenses("tone") == []
    store.settle_expense("tone", "judge a--b", 0.25)
    assert store.spent("tone") == 0.25
    store.close()


def test_a_store_of_a_newer_broker_is_left_alone(store_url: str) -> None:
    open_store(store_url).close()
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=f"newer broker.*9999.*{HEAD}(.|\n)*pip install --upgrade"):
        open_store(store_url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_migration_that_is_killed_leaves_an_empty_file_behind(tmp_path: Path) -> None:
    """DDL is part of the transaction: half a schema is never seen."""
    url = f"sqlite:///{tmp_path}/broker.db"
    code = (
        "import os, sys\nfrom broker.jobs.store import open_store, migration\n"
        "from alembic.operations import Operations\n"
        "real = Operations.create_table\n"
        "import alembic.op, sqlalchemy.engine\n"
        "count = 0\n"
        "from sqlalchemy import event\n"
        "from sqlalchemy.engine import Engine\n"
        "@event.listens_for(Engine, 'after_cursor_execute')\n"
        "def _(*args):\n"
        "    global count\n"
        "    count += 'CREATE' in args[2]\n"
        "    if count == 7: os.kill(os.getpid(), 9)\n"
        "open_store(sys.argv[1])\n"
    )
    process = subprocess.run([sys.executable, "-c", code, url], capture_output=True, check=False, timeout=100)
    assert process.returncode == -9, process.stderr
    with sqlite3.connect(tmp_path / "broker.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    with closing(open_store(url)) as store:
        assert store.jobs() == []


@pytest.mark.parametrize(
    "url",
    ["", "broker.db", "sqlite://", "sqlite:///:memory:", "mysql://u:hunter22@h/d", "sqlite+aiosqlite:///x.db", "//"],
)
def test_a_url_that_is_no_store_is_explained(url: str) -> None:
    with pytest.raises(UserError, match="sqlite:////absolute/path") as error:
        open_store(url)
    assert "hunter22" not in str(error.value)


def test_postgres_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'finetune-broker\[postgres\]'"):
        open_store("postgresql://u:p@127.0.0.1:1/x")


def test_a_server_that_cannot_be_reached_is_explained_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="cannot be reached") as error:
        open_store("postgresql://ann:hunter22secret@127.0.0.1:1/x")
    assert "hunter22" not in repr(error.value) + str(error.value) + str(error.value.__cause__)
