"""What the routes work with: made once when the server starts, found again from each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from broker.server.batches import BatchDesk
from broker.server.chat import ChatDesk
from broker.server.config import ServerConfig
from broker.server.errors import ApiError
from broker.server.files import Files
from broker.server.idempotency import Keys
from broker.server.jobs import JobDesk
from broker.server.jsonbody import parse_object, read_body
from broker.server.metrics import Metrics
from broker.server.naming import ModelNames
from broker.server.uploads import Uploads

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """Everything behind the routes.

    Attributes:
        config: Where the server listens and what it serves.
        started_at: Unix time, seconds; when models that were always there say they were made.
        names: Which base models clients may name.
        files: Files.
        uploads: Uploads and their parts.
        jobs: Fine-tuning jobs.
        chats: Chat completions.
        batches: Batches.
        keys: Idempotency keys.
        metrics: Counters.
    """

    config: ServerConfig
    started_at: int
    names: ModelNames
    files: Files
    uploads: Uploads
    jobs: JobDesk
    chats: ChatDesk
    batches: BatchDesk
    keys: Keys
    metrics: Metrics


def parts_of(request: Request) -> ServerParts:
    """Return the parts of the server that a request came to."""
    parts: ServerParts = request.app.state.parts
    return parts


def owner_of(request: Request) -> str:
    """Return the name of the token that a request came with."""
    name: str = request.state.token_name
    return name


async def json_body(request: Request) -> tuple[bytes, dict[str, Any]]:
    """Read a JSON body; return it raw and parsed. Raises `ApiError` 400 or 413."""
    limits = parts_of(request).config.limits
    raw = await read_body(request, limit=limits.json_bytes, idle_s=limits.body_idle_s)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:
        message = f"The request has the Content-Type '{kind[:60]}', but this path wants {_JSON}."
        raise ApiError(400, message, code="invalid_content_type")
    return raw, parse_object(raw)


async def no_body(request: Request) -> None:
    """Read the body of a path that takes none: empty, or an empty JSON object. Raises `ApiError` 400 or 413."""
    limits = parts_of(request).config.limits
    raw = await read_body(request, limit=limits.json_bytes, idle_s=limits.body_idle_s)
    data = parse_object(raw) if raw.strip() else {}
    if data:
        name = next(iter(data))[:80]
        raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an object as a 200."""
    return JSONResponse(body, headers=headers)
