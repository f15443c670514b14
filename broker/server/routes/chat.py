"""`/chat/completions`."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from broker.errors import BrokerError
from broker.server.chat import sse
from broker.server.chatbody import Chat, refuse_unsupported
from broker.server.errors import ApiError, server_error
from broker.server.parts import answer, json_body, parts_of
from broker.server.validation import validated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

log = logging.getLogger("broker.server")
IGNORED_HEADER = "x-broker-ignored"


async def create(request: Request) -> Response:
    """Answer a chat, whole or as a stream of server-sent events."""
    _, data = await json_body(request)
    chat = validated(Chat, data)
    refuse_unsupported(chat)
    headers = {IGNORED_HEADER: ", ".join(chat.ignored)} if chat.ignored else {}
    desk = parts_of(request).chats
    if not chat.stream:
        return answer(await desk.whole(chat), headers)
    chunks = desk.chunks(chat)
    first = await anext(chunks)  # what is wrong from the start is answered with its own status
    return StreamingResponse(
        _events(first, chunks, request.state.request_id), media_type="text/event-stream", headers=headers
    )


async def _events(
    first: dict[str, Any], chunks: AsyncGenerator[dict[str, Any]], request_id: str
) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        yield sse(first)
        try:
            async for chunk in chunks:
                yield sse(chunk)
        except ApiError as error:
            yield sse(error.body)
        except BrokerError as error:
            log.warning("request %s broke off: %s", request_id, error)
            yield sse(server_error(request_id).body)
        yield sse("[DONE]")
