"""`/models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.server.errors import ApiError, no_such_model
from broker.server.jobview import tuned_model
from broker.server.parts import ServerParts, answer, parts_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_NAME = 200


async def listing(request: Request) -> Response:
    """List the base models and the tuned ones."""
    parts = parts_of(request)
    bases = [_base(parts, name) for name in parts.names.public]
    return answer({"object": "list", "data": bases + await _tuned(parts)})


async def retrieve(request: Request) -> Response:
    """Return one model."""
    parts = parts_of(request)
    name = request.path_params["model"]
    base = parts.names.find(name)
    if base is not None:
        return answer(_base(parts, name))
    tuned = await parts.jobs.tuned(name)
    if tuned is None:
        raise no_such_model(name[:_NAME])
    record, _ = tuned
    return answer(_view(name, record.created_at, f"org-{parts.config.organization}"))


async def delete(request: Request) -> Response:
    """Delete a tuned model; a base cannot be deleted."""
    parts = parts_of(request)
    name = request.path_params["model"]
    if parts.names.find(name) is not None:
        message = f"The base model '{name[:_NAME]}' cannot be deleted; only tuned models can."
        raise ApiError(400, message, param="model", code="cannot_delete_base_model")
    tuned = await parts.jobs.tuned(name)
    if tuned is None or ":ckpt-step-" in name:
        raise no_such_model(name[:_NAME])
    await parts.jobs.forget_model(tuned[0])
    return answer({"id": name, "object": "model", "deleted": True})


async def _tuned(parts: ServerParts) -> list[dict[str, Any]]:
    records = [record for record in await parts.jobs.records() if record.broker_job and not record.deleted]
    owner = f"org-{parts.config.organization}"
    views: list[dict[str, Any]] = []
    for record, job in await parts.jobs.with_jobs(records):
        name = tuned_model(record, job, parts.config.organization)
        if name is not None:
            views.append(_view(name, record.created_at, owner))
    return views


def _base(parts: ServerParts, name: str) -> dict[str, Any]:
    return _view(name, parts.started_at, "finetune-broker")


def _view(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
