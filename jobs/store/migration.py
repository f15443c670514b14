"""Brings a database to the newest schema, by itself, whoever opens it first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from broker.errors import StoreError
from broker.jobs.store.version import HEAD

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from broker.jobs.store.database import Database

FOLDER = Path(__file__).parent / "migrations"


def ensure_schema(database: Database) -> None:
    """Apply the migrations that are missing; when several processes start at once, one does it and the others wait.

    Alembic is imported only when there is something to do.

    Args:
        database: The database.

    Raises:
        StoreError: It was made by a newer broker, or cannot be written.
    """
    if database.read(stored_version) == HEAD:
        return
    with database.migrating() as connection:
        found = stored_version(connection)
        if found != HEAD:
            _upgrade(connection, found, database.where)


def stored_version(connection: Connection) -> str | None:
    """Return the newest migration that a database has seen, `None` when it is new.

    Args:
        connection: Where to look.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, found: str | None, where: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER / "versions")])
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"the store was made by a newer broker (its schema is {found}, this one knows {HEAD})",
            where=where,
            fix="pip install --upgrade finetune-broker",
        )

    def steps(present: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        missing = reversed(list(scripts.iterate_revisions(HEAD, present)))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in missing]

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()
