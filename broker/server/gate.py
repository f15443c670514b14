"""What every request passes before it reaches a route: where it came from, whose it is, how often it comes.

A page in a browser must never reach a server on loopback, even when its name was made to point here (DNS rebinding):
so the `Host` must be a name of this machine, and an `Origin`, where there is one, must be the server itself.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from broker.server.config import ServerConfig, is_loopback
from broker.server.errors import ApiError, server_error, wrong_token
from broker.server.origins import check_framing, host_name, same_origin
from broker.server.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from broker.server.metrics import Metrics
    from broker.server.tokens import TokenBook

log = logging.getLogger("broker.server")
OPEN_PATHS = frozenset({"/healthz"})
NOBODY = "anonymous"


class Gate:
    """ASGI middleware around the routes."""

    def __init__(self, app: ASGIApp, *, config: ServerConfig, tokens: TokenBook, metrics: Metrics) -> None:
        """Keep the parts.

        Args:
            app: The routes.
            config: Where the server listens, and its limits.
            tokens: Who may come in.
            metrics: What is counted.
        """
        self._app = app
        self._config = config
        self._tokens = tokens
        self._metrics = metrics
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with an error object."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        self._metrics.open_requests.inc()
        try:
            await self._pass(scope, receive, answer)
        except ApiError as error:
            await answer.fail(error)
        except Exception:  # the last line of defence: the client gets an error object, the log the traceback
            log.exception("request %s failed", answer.request_id)
            await answer.fail(server_error(answer.request_id))
        finally:
            self._metrics.open_requests.dec()
            self._count(scope, answer)

    async def _pass(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = Headers(scope=scope)
        check_framing(headers)
        self._check_place(headers)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        scope["state"]["token_name"] = NOBODY
        if scope["path"] not in OPEN_PATHS:
            answer.extra.update(await self._check_token(scope, headers))
        await self._app(scope, receive, answer)

    def _check_place(self, headers: Headers) -> None:
        if not self._config.loopback:
            return
        host = host_name(headers.get("host", ""))
        if not (is_loopback(host) or host in self._config.allowed_hosts):
            self._metrics.refused.labels("host").inc()
            raise ApiError(400, "The Host header does not name this server.", code="invalid_host")
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") or (origin is not None and not same_origin(origin, headers["host"])):
            self._metrics.refused.labels("origin").inc()
            raise ApiError(403, "Pages of another origin may not use this server.", code="invalid_origin")

    async def _check_token(self, scope: Scope, headers: Headers) -> Mapping[str, str]:
        if not await self._tokens.tokens():
            return {}
        shown = _bearer(headers.get("authorization"))
        token = await self._tokens.owner(shown) if shown else None
        if token is None:
            self._metrics.refused.labels("token").inc()
            address = scope["client"][0] if scope.get("client") else "?"
            self._rates.take(f"address {address}", self._config.limits.failed_logins_per_minute)
            raise wrong_token(shown)
        scope["state"]["token_name"] = token.name
        per_minute = token.requests_per_minute or self._config.limits.requests_per_minute
        return {} if per_minute is None else self._rates.take(f"token {token.name}", per_minute)

    def _count(self, scope: Scope, answer: _Answer) -> None:
        route = scope.get("state", {}).get("route", "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
        self._metrics.requests.labels(method, route, str(answer.status)).inc()
        self._metrics.seconds.labels(route).observe(answer.elapsed_s)


class _Answer:
    """Adds the headers that every answer has, and remembers whether the answer has begun."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._start = time.perf_counter()
        self.request_id = f"req_{secrets.token_hex(16)}"
        self.extra: dict[str, str] = {}
        self.status = 0

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            headers["openai-processing-ms"] = str(round(self.elapsed_s * 1000))
            headers["x-content-type-options"] = "nosniff"
            headers["content-security-policy"] = "default-src 'none'"
            headers["cache-control"] = "no-store"
            for name, value in self.extra.items():
                headers[name] = value
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        if self.status:  # the answer has begun: it can only be broken off, which the client sees as such
            raise ConnectionAbortedError(error.message)
        response = JSONResponse(error.body, status_code=error.status, headers=error.headers)
        await response(self._scope, self._receive, self)


def _bearer(header: str | None) -> str | None:
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None
