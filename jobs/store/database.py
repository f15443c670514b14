"""Connections and transactions: what differs between SQLite and PostgreSQL stands here and nowhere else."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import GenerativeSelect, any_, column, create_engine, event, func, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from broker.errors import MissingExtraError, StoreError, UserError
from broker.jobs.durable import guarded, make_folder
from broker.jobs.store.clock import Clock
from broker.jobs.store.faults import store_error, worth_repeating
from broker.jobs.store.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from sqlalchemy import ColumnElement, Table

T = TypeVar("T")
Q = TypeVar("Q", bound=GenerativeSelect)

_BUSY_S = 30.0
_POLL_S = 0.02
_WAL_PAGES = 4000  # 16 MB: with SQLite's 4 MB every 150th transition waits for a checkpoint
_REPEATS = 8
_MANY = 500  # more values than this go as one array, not as so many parameters
_POSTGRES_BOOT = "postgresql"
# Advisory locks, any two numbers that are ours: "broker" in hex, then one for each use.
_MIGRATING = 0x62726F6B657201
_NUMBERING = 0x62726F6B657202
_SERVER_TIME = text(
    "SELECT pg_advisory_xact_lock_shared(:key), clock_timestamp(), extract(epoch FROM clock_timestamp())::float8"
)
_URL_FIX = "use sqlite:////absolute/path/broker.db or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction with the times that hold for all of it.

    Attributes:
        connection: Where statements go.
        now: The store's time (UTC).
        elapsed: Seconds on the lease clock.
        boot: Which run of the lease clock that is.
        redactor: Keeps secrets out.
    """

    connection: Connection
    now: datetime
    elapsed: float
    boot: str
    redactor: Redactor

    @property
    def postgres(self) -> bool:
        """Say whether this is PostgreSQL."""
        return self.connection.dialect.name == "postgresql"

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an insert that knows `ON CONFLICT`."""
        return postgresql.insert(table) if self.postgres else sqlite.insert(table)

    def locked(self, statement: Q, *tables: Table, skip: bool = False) -> Q:
        """Return a select that locks the rows it finds; in SQLite the transaction has locked everything already.

        The lock lets others refer to the row by foreign key, which an insert of theirs may have done before.
        """
        return statement.with_for_update(of=tables, skip_locked=skip, key_share=True) if self.postgres else statement


def among(connection: Connection, of: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of many values, however many those are.

    Args:
        connection: Where it will be used.
        of: The column.
        values: All of one type.
    """
    if len(values) <= _MANY:
        return of.in_(values)
    if connection.dialect.name == "postgresql":
        return of == any_(literal(list(values), postgresql.ARRAY(of.type)))
    return of.in_(select(column("value", of.type)).select_from(func.json_each(json.dumps(list(values)))))


class Database:
    """One database, shared by the threads of this process; other processes may use it too."""

    def __init__(self, url: str, *, secrets: Iterable[str] = (), clock: Clock | None = None) -> None:
        """Prepare the connections; none is opened yet.

        Args:
            url: `sqlite:////path/broker.db` or `postgresql+psycopg://user:password@host/name`.
            secrets: Keys and tokens that must never be stored.
            clock: The times of an SQLite store; the machine's own when not given.

        Raises:
            UserError: The URL is not one of these.
            MissingExtraError: The driver for PostgreSQL is not installed.
            StoreError: The folder for the file cannot be made.
        """
        parsed = _parse(url)
        password = [parsed.password] if parsed.password else []
        self.redactor = Redactor([*secrets, *password])
        self.clock = clock or Clock()
        self.postgres = parsed.get_backend_name() == "postgresql"
        self.where = parsed.render_as_string(hide_password=True) if self.postgres else str(parsed.database)
        self._engine = _engine(parsed, self.redactor, postgres=self.postgres)
        # Threads of one process queue here fairly instead of polling SQLite's lock.
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run one transaction that changes something. It is run again when it lost against another one.

        Args:
            work: What to do; changes nothing but the database.

        Raises:
            StoreError: The database or the disk failed; nothing of it happened.
        """
        with self._translated():
            for _ in range(_REPEATS):
                try:
                    return self._write_once(work)
                except DBAPIError as error:
                    if not worth_repeating(error):
                        raise
            return self._write_once(work)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run queries, each for itself.

        Args:
            work: Only reads.

        Raises:
            StoreError: The database or the disk failed.
        """
        with self._translated(), self._reader.connect() as connection:
            return work(connection)

    def read_numbered(self, work: Callable[[Connection], T]) -> T:
        """Run queries over numbers that readers follow, when no transaction is open that has drawn a lower one.

        PostgreSQL gives numbers before it shows their rows: without this a reader that saw number 10 would miss a 9
        that is committed later. Writers hold the lock shared, so they do not wait for each other.

        Args:
            work: Only reads.
        """
        if not self.postgres:
            return self.read(work)
        with self._translated(), self._engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _NUMBERING})
            return work(connection)

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Open a transaction that no other process' migration can run beside."""
        with self._translated(), self._turn, self._engine.begin() as connection:
            if self.postgres:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            yield connection

    @property
    def _reader(self) -> Engine:
        options = {"isolation_level": "AUTOCOMMIT"} if self.postgres else {"broker_read": True}
        return self._engine.execution_options(**options)

    def _write_once(self, work: Callable[[Transaction], T]) -> T:
        if self.postgres:
            with self._engine.begin() as connection:
                return work(self._served(connection))
        with self._turn, self._engine.begin() as connection:
            clock = self.clock
            return work(Transaction(connection, clock.now(), clock.elapsed(), clock.boot(), self.redactor))

    def _served(self, connection: Connection) -> Transaction:
        # First of all statements: whoever waits here holds no row that a writer before it could want.
        _, now, elapsed = connection.execute(_SERVER_TIME, {"key": _NUMBERING}).one()
        return Transaction(connection, now.astimezone(UTC), elapsed, _POSTGRES_BOOT, self.redactor)

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise store_error(error, self.where) from error
        except PoolTimeout as error:
            raise StoreError(
                "all connections of this process were busy for too long", where=self.where, fix="run fewer jobs at once"
            ) from error
        except UnicodeEncodeError as error:
            raise UserError(
                f"{error.object!r} is not text that can be stored", fix="write it in valid UTF-8"
            ) from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError("the store's URL cannot be read", where="BROKER_STORE_URL", fix=_URL_FIX) from None
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed
    if parsed.drivername == "postgresql+psycopg":
        return parsed
    shown = parsed.render_as_string(hide_password=True)
    raise UserError(f"{shown} is not a store that is known", where="BROKER_STORE_URL", fix=_URL_FIX)


def _engine(url: URL, redactor: Redactor, *, postgres: bool) -> Engine:
    options: dict[str, Any] = {"json_serializer": redactor.encode, "hide_parameters": True}
    if postgres:
        return _postgres_engine(url, options)
    path = Path(str(url.database))
    with guarded(path, "create the folder of the store"):
        make_folder(path.parent)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=16, max_overflow=32, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres_engine(url: URL, options: dict[str, Any]) -> Engine:
    try:
        return create_engine(
            url, pool_pre_ping=True, pool_size=8, max_overflow=16, connect_args={"connect_timeout": 10}, **options
        )
    except ImportError:
        raise MissingExtraError(
            "a store in PostgreSQL needs the package psycopg", fix="pip install 'finetune-broker[postgres]'"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, DDL included
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"wal_autocheckpoint={_WAL_PAGES}"):
        connection.execute(f"PRAGMA {pragma}").close()
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL; the busy timeout does not cover this, so two first openers are kept apart here."""
    deadline = time.monotonic() + _BUSY_S
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later could otherwise fail half-way on another's lock.
    if not connection.get_execution_options().get("broker_read"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
