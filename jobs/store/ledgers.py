"""The small ledgers beside the jobs: uploads, models, documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from broker.jobs.codec import dump, load
from broker.jobs.spec import ModelRef
from broker.jobs.store import schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from broker.jobs.store.database import Transaction

_UPLOADS = schema.uploads
_MODELS = schema.models
_DOCUMENTS = schema.documents


def remember_upload(tx: Transaction, account: str, sha256: str, purpose: str, remote_id: str) -> None:
    """Note an upload; a later one of the same content takes its place."""
    values = {"account": account, "sha256": sha256, "purpose": purpose, "remote_id": remote_id, "at": tx.now}
    keys = [_UPLOADS.c.account, _UPLOADS.c.sha256, _UPLOADS.c.purpose]
    statement = tx.insert(_UPLOADS).values(values)
    tx.connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_={"remote_id": remote_id, "at": tx.now})
    )


def upload(connection: Connection, account: str, sha256: str, purpose: str) -> str | None:
    """Return the remote id of an upload."""
    query = select(_UPLOADS.c.remote_id).where(
        _UPLOADS.c.account == account, _UPLOADS.c.sha256 == sha256, _UPLOADS.c.purpose == purpose
    )
    return connection.execute(query).scalar()


def forget_upload(tx: Transaction, account: str, remote_id: str) -> None:
    """Forget an upload that is gone."""
    gone = delete(_UPLOADS).where(_UPLOADS.c.account == account, _UPLOADS.c.remote_id == remote_id)
    tx.connection.execute(gone)


def add_model(tx: Transaction, model: ModelRef, alias: str, job_id: str | None, at: datetime | None) -> None:
    """Register a model; an alias that exists means the new one from now on."""
    tx.connection.execute(delete(_MODELS).where(_MODELS.c.alias == alias))
    values = {"alias": alias, "job_id": job_id, "at": at or tx.now, "model": dump(model)}
    tx.connection.execute(insert(_MODELS).values(values))


def models(connection: Connection) -> list[tuple[str, ModelRef, str | None]]:
    """Return all models, newest first."""
    rows = connection.execute(select(_MODELS).order_by(_MODELS.c.seq.desc())).mappings()
    return [(row["alias"], load(ModelRef, row["model"]), row["job_id"]) for row in rows]


def put_document(tx: Transaction, kind: str, name: str, data: Mapping[str, Any]) -> None:
    """Store a document; one of the same name keeps its place."""
    content = dump(dict(data))
    statement = tx.insert(_DOCUMENTS).values(kind=kind, name=name, at=tx.now, data=content)
    keys = [_DOCUMENTS.c.kind, _DOCUMENTS.c.name]
    tx.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_={"data": content, "at": tx.now}))


def document(connection: Connection, kind: str, name: str) -> dict[str, Any] | None:
    """Return a document."""
    query = select(_DOCUMENTS.c.data).where(_DOCUMENTS.c.kind == kind, _DOCUMENTS.c.name == name)
    return connection.execute(query).scalar()


def documents(connection: Connection, kind: str) -> dict[str, dict[str, Any]]:
    """Return all documents of a kind, oldest first."""
    query = select(_DOCUMENTS.c.name, _DOCUMENTS.c.data).where(_DOCUMENTS.c.kind == kind).order_by(_DOCUMENTS.c.seq)
    return {key: value for key, value in connection.execute(query)}  # noqa: C416 - typed as a pair


def delete_document(tx: Transaction, kind: str, name: str) -> bool:
    """Delete a document; say whether there was one."""
    gone = delete(_DOCUMENTS).where(_DOCUMENTS.c.kind == kind, _DOCUMENTS.c.name == name)
    return tx.connection.execute(gone).rowcount > 0
