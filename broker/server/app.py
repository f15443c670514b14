"""The ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.api import Broker
from broker.errors import BrokerError, ProviderError, StoreError, UnavailableError, UserError, WorkerError
from broker.jobs.blocking import blocking
from broker.server.batches import BatchDesk
from broker.server.broker_backend import BrokerBackend
from broker.server.chat import ChatDesk
from broker.server.errors import ApiError, invalid, method_not_allowed, no_such_path, unavailable
from broker.server.files import Files
from broker.server.gate import Gate
from broker.server.idempotency import Keys
from broker.server.jobs import JobDesk
from broker.server.metrics import Metrics
from broker.server.naming import ModelNames
from broker.server.parts import ServerParts
from broker.server.records import unix_now
from broker.server.routes import batches, chat, files, health, jobs, models, uploads
from broker.server.tokens import TokenBook
from broker.server.uploads import Uploads

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from broker.jobs.store import Store
    from broker.server.config import ServerConfig
    from broker.settings import Settings

log = logging.getLogger("broker.server")
PREFIX = "/v1"
SWEEP_S = 60.0

Endpoint = Callable[[Request], Awaitable[Response]]
PATHS: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/files": {"GET": files.listing, "POST": files.create},
    "/v1/files/{file_id}": {"GET": files.retrieve, "DELETE": files.delete},
    "/v1/files/{file_id}/content": {"GET": files.content},
    "/v1/uploads": {"POST": uploads.create},
    "/v1/uploads/{upload_id}/parts": {"POST": uploads.add_part},
    "/v1/uploads/{upload_id}/complete": {"POST": uploads.complete},
    "/v1/uploads/{upload_id}/cancel": {"POST": uploads.cancel},
    "/v1/fine_tuning/jobs": {"GET": jobs.listing, "POST": jobs.create},
    "/v1/fine_tuning/jobs/{job_id}": {"GET": jobs.retrieve},
    "/v1/fine_tuning/jobs/{job_id}/events": {"GET": jobs.events},
    "/v1/fine_tuning/jobs/{job_id}/checkpoints": {"GET": jobs.checkpoints},
    "/v1/fine_tuning/jobs/{job_id}/cancel": {"POST": jobs.cancel},
    "/v1/fine_tuning/jobs/{job_id}/pause": {"POST": jobs.pause},
    "/v1/fine_tuning/jobs/{job_id}/resume": {"POST": jobs.resume},
    "/v1/models": {"GET": models.listing},
    "/v1/models/{model:path}": {"GET": models.retrieve, "DELETE": models.delete},
    "/v1/chat/completions": {"POST": chat.create},
    "/v1/batches": {"GET": batches.listing, "POST": batches.create},
    "/v1/batches/{batch_id}": {"GET": batches.retrieve},
    "/v1/batches/{batch_id}/cancel": {"POST": batches.cancel},
    "/healthz": {"GET": health.healthz},
    "/metrics": {"GET": health.metrics},
}


def create_app(config: ServerConfig, settings: Settings, store: Store) -> Starlette:
    """Build the application.

    Args:
        config: Where the server listens and what it serves.
        settings: Of the broker behind it.
        store: Open, for the server's own objects; closed by the caller.

    Returns:
        The application; its life span opens the broker, goes on with what an earlier run left, and closes all.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        try:
            async with Broker(settings) as broker, anyio.create_task_group() as tasks:
                app.state.parts = await _open(config, store, broker, metrics, tasks)
                yield
                tasks.cancel_scope.cancel()
        except BrokerError as error:
            app.state.failure = error  # for whoever runs the server; uvicorn only logs it
            raise

    gate = Middleware(Gate, config=config, tokens=TokenBook(store), metrics=metrics)
    handlers = {ApiError: _api_error, BrokerError: _broker_error, HTTPException: _http_error}
    app = Starlette(
        routes=[Route(path, _Path(path, methods)) for path, methods in PATHS.items()],
        middleware=[gate],
        exception_handlers=handlers,  # type: ignore[arg-type]  # Starlette's type wants `Exception` as the argument
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect is in nobody's protocol: the path is unknown
    return app


def server_models(config: ServerConfig, backend: BrokerBackend) -> ModelNames:
    """Return the names that clients may use: the map, the named models, and the provider's own defaults."""
    return ModelNames(config.model_map, [*config.models, *backend.base_models()])


async def _open(
    config: ServerConfig, store: Store, broker: Broker, metrics: Metrics, tasks: anyio.abc.TaskGroup
) -> ServerParts:
    folder, limits = broker.data_dir / "server", config.limits
    backend = BrokerBackend(broker, config.provider, tasks)
    names = server_models(config, backend)
    kept = Files(store, folder, stored_bytes=limits.stored_bytes)
    await blocking(kept.start)
    desk = JobDesk(store, kept, backend, names, tasks, config.organization)
    chats = ChatDesk(backend, names, desk, metrics, answer_tokens=limits.answer_tokens, waiting=limits.chats_waiting)
    parts = ServerParts(
        config=config,
        started_at=unix_now(),
        names=names,
        files=kept,
        uploads=Uploads(store, folder, kept, upload_bytes=limits.upload_bytes, part_bytes=limits.part_bytes),
        jobs=desk,
        chats=chats,
        batches=BatchDesk(store, folder, kept, chats, tasks, most_rows=limits.batch_rows),
        keys=Keys(store),
        metrics=metrics,
    )
    await parts.jobs.start()
    await parts.batches.start()
    tasks.start_soon(_sweep_forever, parts)
    return parts


async def _sweep_forever(parts: ServerParts) -> None:
    """Drop what has expired, every minute. A failed round is tried again with the next."""
    sweeps: Sequence[Callable[[], Awaitable[None]]] = (parts.files.sweep, parts.uploads.sweep, parts.keys.sweep)
    while True:
        for sweep in sweeps:
            try:
                await sweep()
            except StoreError as error:
                log.warning("expired objects could not be dropped: %s", error)
        await anyio.sleep(SWEEP_S)


class _Path:
    """All methods of one path: it answers 405 itself, with the methods that there are."""

    def __init__(self, path: str, methods: Mapping[str, Endpoint]) -> None:
        self._path = path
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        request.state.route = self._path
        _check_ids(request)
        endpoint = self._methods.get(request.method)
        if endpoint is None:
            raise method_not_allowed(request.method[:20], request.url.path[:200], ", ".join(self._methods))
        response = await endpoint(request)
        await response(scope, receive, send)


def _check_ids(request: Request) -> None:
    for name, value in request.path_params.items():
        if not str(value).isprintable() or len(str(value)) > 512:
            raise invalid(f"Invalid '{name}': it is no id.", param=name, code="invalid_id")


async def _api_error(request: Request, error: ApiError) -> Response:
    del request
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette itself refuses: an unknown path."""
    if error.status_code == 404:
        return await _api_error(request, no_such_path(request.url.path[:200]))
    return await _api_error(request, ApiError(error.status_code, str(error.detail)))


async def _broker_error(request: Request, error: BrokerError) -> Response:
    """Answer an error of the broker: what the client can mend is a 400, what it can wait for a 503."""
    if isinstance(error, UserError):
        return await _api_error(request, invalid(error.message, code="invalid_request"))
    retry_after_s = getattr(error, "retry_after_s", None)
    if isinstance(error, UnavailableError | StoreError | WorkerError | ProviderError):
        log.warning("request %s: %s", request.state.request_id, error)
        message = "The server cannot do this now; its log says why, under " + request.state.request_id
        return await _api_error(request, unavailable(message, retry_after_s=retry_after_s))
    raise error
