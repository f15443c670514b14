"""`/files`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from broker.jobs.blocking import blocking
from broker.server.bodies import NewFile
from broker.server.errors import ApiError, invalid, no_such_file
from broker.server.files import new_file
from broker.server.multipart import Form, read_form
from broker.server.pages import cut, list_body, page_query
from broker.server.parts import answer, owner_of, parts_of
from broker.server.validation import validated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

MOST = 10_000
_BLOCK = 1024 * 1024


async def create(request: Request) -> Response:
    """Take a file: a form with `file`, `purpose` and perhaps `expires_after`."""
    parts = parts_of(request)
    limits = parts.config.limits
    async with read_form(
        request,
        file_field="file",
        folder=parts.files.incoming,
        limit=limits.file_bytes,
        idle_s=limits.body_idle_s,
    ) as form:
        body = validated(NewFile, _fields(form))
        if form.path is None:
            raise invalid("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
        parts.metrics.received.inc(form.size)
        fingerprint = f"{form.sha256}\n{form.filename}\n{body.model_dump_json()}".encode()
        async with parts.keys.promise(request, fingerprint, "file-") as file_id:
            known = await parts.files.find(file_id)
            if known is not None:
                return answer(known.view())
            await parts.files.check_room(owner_of(request), form.size)
            record = new_file(
                file_id=file_id,
                filename=form.filename,
                size=form.size,
                purpose=body.purpose,
                life_s=body.expires_after.seconds if body.expires_after else None,
                owner=owner_of(request),
            )
            return answer((await parts.files.add(record, form.path)).view())


async def listing(request: Request) -> Response:
    """List files, newest first, or by `order`; of one `purpose` if asked."""
    parts = parts_of(request)
    asked = page_query(request.query_params, default=MOST, most=MOST)
    purpose = request.query_params.get("purpose")
    files = [file for file in await parts.files.all() if purpose is None or file.purpose == purpose]
    page, more = cut(files, asked, lambda file: file.id)
    return answer(list_body([file.view() for file in page], more))


async def retrieve(request: Request) -> Response:
    """Return one file object."""
    return answer((await parts_of(request).files.get(request.path_params["file_id"])).view())


async def delete(request: Request) -> Response:
    """Delete a file and its bytes."""
    file_id = request.path_params["file_id"]
    await parts_of(request).files.delete(file_id)
    return answer({"id": file_id, "object": "file", "deleted": True})


async def content(request: Request) -> Response:
    """Return the bytes of a file, as a stream."""
    files = parts_of(request).files
    record = await files.get(request.path_params["file_id"])
    try:
        file = await blocking(_open, files.path(record))
    except FileNotFoundError:
        raise no_such_file(record.id) from None
    headers = {
        "content-length": str(record.bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(record.filename, safe='')}",
    }
    return StreamingResponse(_blocks(file), media_type="application/octet-stream", headers=headers)


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while block := await blocking(file.read, _BLOCK):
            yield block
    finally:
        file.close()


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _fields(form: Form) -> dict[str, Any]:
    """Return the form's fields as JSON data: `expires_after[seconds]` becomes an object with a number in it."""
    data: dict[str, Any] = {}
    for name, text in form.fields.items():
        if name.startswith("expires_after[") and name.endswith("]"):
            key = name.removeprefix("expires_after[").removesuffix("]")
            inner = data.setdefault("expires_after", {})
            if not isinstance(inner, dict):
                raise invalid("'expires_after' is given twice.", param="expires_after")
            inner[key] = _number(text) if key == "seconds" else text
        elif name == "expires_after":
            data[name] = _object(text)
        else:
            data[name] = text
    return data


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        message = "'expires_after' must be an object: send expires_after[anchor] and expires_after[seconds]."
        raise ApiError(400, message, param="expires_after", code="invalid_type") from None
