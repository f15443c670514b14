"""Money that is spent beside the jobs.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "expenses",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("experiment", _NAME, sa.ForeignKey("experiments.name"), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reserved_usd", sa.Float, nullable=False),
        sa.Column("cost_usd", sa.Float),
        sa.UniqueConstraint("experiment", "name", name="uq_expenses_experiment_name"),
        sqlite_autoincrement=True,
    )
