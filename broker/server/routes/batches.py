"""`/batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.server.bodies import NewBatch
from broker.server.pages import cut, list_body, page_query
from broker.server.parts import answer, json_body, no_body, owner_of, parts_of
from broker.server.validation import validated

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST = 100
_BATCHES = 20


async def create(request: Request) -> Response:
    """Take a batch; its rows are answered in the background."""
    parts = parts_of(request)
    raw, data = await json_body(request)
    body = validated(NewBatch, data)
    async with parts.keys.promise(request, raw, "batch_") as batch_id:
        return answer((await parts.batches.create(batch_id, body, owner_of(request))).view())


async def listing(request: Request) -> Response:
    """List batches, newest first."""
    parts = parts_of(request)
    asked = page_query(request.query_params, default=_BATCHES, most=MOST)
    page, more = cut(await parts.batches.all(), asked, lambda batch: batch.id)
    return answer(list_body([batch.view() for batch in page], more))


async def retrieve(request: Request) -> Response:
    """Return one batch."""
    return answer((await parts_of(request).batches.get(request.path_params["batch_id"])).view())


async def cancel(request: Request) -> Response:
    """End a batch."""
    await no_body(request)
    return answer((await parts_of(request).batches.cancel(request.path_params["batch_id"])).view())
