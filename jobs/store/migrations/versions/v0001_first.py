"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_TIME = sa.DateTime(timezone=True)
_ACTIVE = "(wish IS NOT NULL OR state NOT IN ('succeeded', 'failed', 'cancelled', 'paused', 'lost'))"
_DRIVABLE = f"CASE WHEN {_ACTIVE} AND (blocked = 0 OR wish IN ('cancel', 'pause')) THEN 1 ELSE 0 END"


def upgrade() -> None:
    """Create the tables."""
    _create_experiments()
    _create_jobs()
    _create_jobs_indexes()
    _create_beside_jobs()
    _create_events()
    _create_ledgers()


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("name", _NAME, nullable=False, unique=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("validation_sha256", sa.String),
        sa.Column("budget_usd", sa.Float),
        sa.Column("decoding", sa.JSON, nullable=False),
        sa.Column("notes", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", _NAME, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("experiment", _NAME, sa.ForeignKey("experiments.name"), nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("wish", sa.String),
        sa.Column("intent_key", sa.String),
        sa.Column("handle_provider", sa.String),
        sa.Column("handle_id", sa.String),
        sa.Column("remote_status", sa.String),
        sa.Column("reserved_usd", sa.Float, nullable=False),
        sa.Column("earlier_usd", sa.Float, nullable=False),
        sa.Column("cost_usd", sa.Float),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("depends_on", sa.JSON, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("model", sa.JSON),
        sa.Column("failure", sa.JSON),
        sa.Column("look", sa.JSON),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("blocked", sa.Integer, nullable=False),
        sa.Column("leased", sa.Integer, nullable=False),
        sa.Column("drivable", sa.Integer, sa.Computed(_DRIVABLE, persisted=True)),
        sqlite_autoincrement=True,
    )


def _create_jobs_indexes() -> None:
    free, wished, active = map(sa.text, ("drivable = 1 AND leased = 0", "wish IS NOT NULL", _ACTIVE))
    claim: list[str | sa.TextClause] = [sa.text("priority DESC"), "seq", "provider", "kind", "state"]
    op.create_index("ix_jobs_claim", "jobs", claim, sqlite_where=free, postgresql_where=free)
    op.create_index("ix_jobs_experiment_seq", "jobs", ["experiment", "seq"])
    op.create_index("ix_jobs_state_seq", "jobs", ["state", "seq", "experiment"])
    op.create_index("ix_jobs_handle_id", "jobs", ["handle_id"])
    op.create_index("ix_jobs_active", "jobs", ["provider"], sqlite_where=active, postgresql_where=active)
    op.create_index("ix_jobs_wish", "jobs", ["wish"], sqlite_where=wished, postgresql_where=wished)


def _create_beside_jobs() -> None:
    op.create_table(
        "dependencies",
        sa.Column("job", _SERIAL, sa.ForeignKey("jobs.seq"), primary_key=True),
        sa.Column("needs", _SERIAL, sa.ForeignKey("jobs.seq"), primary_key=True),
    )
    op.create_index("ix_dependencies_needs", "dependencies", ["needs"])
    op.create_table(
        "leases",
        sa.Column("token", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("job", _SERIAL, sa.ForeignKey("jobs.seq"), nullable=False, unique=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("boot", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_leases_boot", "leases", ["boot"])
    op.create_index("ix_leases_since", "leases", ["since"])
    op.create_index("ix_leases_until", "leases", ["until"])
    op.create_table(
        "intents",
        sa.Column("key", _NAME, primary_key=True),
        sa.Column("job", _SERIAL, sa.ForeignKey("jobs.seq"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.UniqueConstraint("job", "attempt", name="uq_intents_job_attempt"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("job_id", _NAME, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("source_id", _NAME),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_id_seq", "events", ["job_id", "seq"])
    foreign = sa.text("source_id IS NOT NULL")
    op.create_index(
        "uq_events_job_id_source_id",
        "events",
        ["job_id", "source_id"],
        unique=True,
        sqlite_where=foreign,
        postgresql_where=foreign,
    )


def _create_ledgers() -> None:
    op.create_table(
        "uploads",
        sa.Column("account", _NAME, primary_key=True),
        sa.Column("sha256", _NAME, primary_key=True),
        sa.Column("purpose", _NAME, primary_key=True),
        sa.Column("remote_id", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_index("ix_uploads_account_remote_id", "uploads", ["account", "remote_id"])
    op.create_table(
        "models",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("alias", _NAME, nullable=False, unique=True),
        sa.Column("job_id", sa.String),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("model", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "documents",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.UniqueConstraint("kind", "name", name="uq_documents_kind_name"),
        sqlite_autoincrement=True,
    )
