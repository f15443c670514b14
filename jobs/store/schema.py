"""The tables. What is asked for by value is a column of its own; the rest of a record is JSON beside it.

A change here needs a new file in `migrations/versions` and a new `HEAD` in `version`; a test compares them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import BigInteger, TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class Moment(TypeDecorator[datetime]):
    """A point in time: aware and in UTC on this side, without a zone in SQLite, `timestamptz` in PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into what the database keeps."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database keeps into an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# SQLite numbers only a column of exactly type INTEGER by itself; it is 64 bits wide there.
Serial = BigInteger().with_variant(Integer(), "sqlite")
# Names compare byte by byte in both databases, so that a range over a beginning finds the same rows.
Name = String().with_variant(String(collation="C"), "postgresql")
Json = JSON(none_as_null=True)

ACTIVE = "(wish IS NOT NULL OR state NOT IN ('succeeded', 'failed', 'cancelled', 'paused', 'lost'))"
DRIVABLE = f"CASE WHEN {ACTIVE} AND (blocked = 0 OR wish IN ('cancel', 'pause')) THEN 1 ELSE 0 END"

metadata = MetaData()

experiments = Table(
    "experiments",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("name", Name, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("validation_sha256", String),
    Column("budget_usd", Float),
    Column("decoding", Json, nullable=False),
    Column("notes", Json, nullable=False),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", Name, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("experiment", Name, ForeignKey("experiments.name"), nullable=False),
    Column("provider", String, nullable=False),
    Column("state", String, nullable=False),
    Column("label", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("wish", String),
    Column("intent_key", String),
    Column("handle_provider", String),
    Column("handle_id", String),
    Column("remote_status", String),
    Column("reserved_usd", Float, nullable=False),
    Column("earlier_usd", Float, nullable=False),  # what the attempts before this one did cost, or may have
    Column("cost_usd", Float),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("depends_on", Json, nullable=False),
    Column("spec", Json, nullable=False),
    Column("model", Json),
    Column("failure", Json),
    Column("look", Json),
    Column("result", Json, nullable=False),
    Column("blocked", Integer, nullable=False),  # 1 while a job that it depends on is still open
    Column("leased", Integer, nullable=False),  # 1 while `leases` has a row for it, expired or not
    Column("drivable", Integer, Computed(DRIVABLE, persisted=True)),
    # `claim` reads the first rows of this index and nothing else.
    Index(
        "ix_jobs_claim",
        text("priority DESC"),
        "seq",
        "provider",
        "kind",
        "state",
        sqlite_where=text("drivable = 1 AND leased = 0"),
        postgresql_where=text("drivable = 1 AND leased = 0"),
    ),
    Index("ix_jobs_experiment_seq", "experiment", "seq"),
    Index("ix_jobs_state_seq", "state", "seq", "experiment"),
    Index("ix_jobs_handle_id", "handle_id"),
    Index("ix_jobs_active", "provider", sqlite_where=text(ACTIVE), postgresql_where=text(ACTIVE)),
    Index(
        "ix_jobs_wish",
        "wish",
        sqlite_where=text("wish IS NOT NULL"),
        postgresql_where=text("wish IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

dependencies = Table(
    "dependencies",
    metadata,
    Column("job", Serial, ForeignKey("jobs.seq"), primary_key=True),
    Column("needs", Serial, ForeignKey("jobs.seq"), primary_key=True),
    Index("ix_dependencies_needs", "needs"),
)

# A token is never given twice: it grows over the whole store, and a row that is gone is never renewed.
leases = Table(
    "leases",
    metadata,
    Column("token", Serial, primary_key=True, autoincrement=True),
    Column("job", Serial, ForeignKey("jobs.seq"), nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("boot", String, nullable=False),  # which run of the machine's clock the two times belong to
    Column("since", Float, nullable=False),  # seconds on the lease clock
    Column("until", Float, nullable=False),  # seconds on the lease clock
    Index("ix_leases_boot", "boot"),
    Index("ix_leases_since", "since"),
    Index("ix_leases_until", "until"),
    sqlite_autoincrement=True,
)

# What an experiment spends beside its jobs.
expenses = Table(
    "expenses",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("experiment", Name, ForeignKey("experiments.name"), nullable=False),
    Column("name", Name, nullable=False),
    Column("at", Moment, nullable=False),
    Column("reserved_usd", Float, nullable=False),
    Column("cost_usd", Float),  # NULL until it is settled
    UniqueConstraint("experiment", "name", name="uq_expenses_experiment_name"),
    sqlite_autoincrement=True,
)

intents = Table(
    "intents",
    metadata,
    Column("key", Name, primary_key=True),
    Column("job", Serial, ForeignKey("jobs.seq"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("spec", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("sent_at", Moment),
    UniqueConstraint("job", "attempt", name="uq_intents_job_attempt"),
)

events = Table(
    "events",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("job_id", Name, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", Json, nullable=False),
    Column("source_id", Name),
    Index("ix_events_job_id_seq", "job_id", "seq"),
    Index(
        "uq_events_job_id_source_id",
        "job_id",
        "source_id",
        unique=True,
        sqlite_where=text("source_id IS NOT NULL"),
        postgresql_where=text("source_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

uploads = Table(
    "uploads",
    metadata,
    Column("account", Name, primary_key=True),
    Column("sha256", Name, primary_key=True),
    Column("purpose", Name, primary_key=True),
    Column("remote_id", Name, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_uploads_account_remote_id", "account", "remote_id"),
)

models = Table(
    "models",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("alias", Name, nullable=False, unique=True),
    Column("job_id", String),
    Column("at", Moment, nullable=False),
    Column("model", Json, nullable=False),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("kind", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", Json, nullable=False),
    UniqueConstraint("kind", "name", name="uq_documents_kind_name"),
    sqlite_autoincrement=True,
)
