"""`/uploads`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.server.bodies import CompleteUpload, NewUpload
from broker.server.errors import ApiError
from broker.server.multipart import read_form
from broker.server.parts import answer, json_body, no_body, owner_of, parts_of
from broker.server.validation import validated

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def create(request: Request) -> Response:
    """Begin an upload."""
    parts = parts_of(request)
    raw, data = await json_body(request)
    body = validated(NewUpload, data)
    async with parts.keys.promise(request, raw, "upload_") as upload_id:
        return answer((await parts.uploads.create(upload_id, body, owner_of(request))).view())


async def add_part(request: Request) -> Response:
    """Take a part: a form with `data`."""
    parts = parts_of(request)
    limits = parts.config.limits
    upload = await parts.uploads.pending(request.path_params["upload_id"])
    async with read_form(
        request,
        file_field="data",
        folder=parts.files.incoming,
        limit=limits.part_bytes,
        idle_s=limits.body_idle_s,
    ) as form:
        for name in form.fields:
            raise ApiError(400, f"Unknown parameter: '{name[:80]}'.", param=name[:80], code="unknown_parameter")
        parts.metrics.received.inc(form.size)
        async with parts.keys.promise(request, f"{upload.id}\n{form.sha256}".encode(), "part_") as part_id:
            return answer((await parts.uploads.add_part(upload, part_id, form)).view())


async def complete(request: Request) -> Response:
    """Join the parts to a file."""
    _, data = await json_body(request)
    body = validated(CompleteUpload, data)
    return answer((await parts_of(request).uploads.complete(request.path_params["upload_id"], body)).view())


async def cancel(request: Request) -> Response:
    """End an upload."""
    await no_body(request)
    return answer((await parts_of(request).uploads.cancel(request.path_params["upload_id"])).view())
