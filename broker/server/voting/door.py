"""What every request to the voting server passes, and what every answer carries.

A voter is known by the token in the link alone. So a page of another site must not reach this server in a voter's
browser, a link must not leak to another site, and guessing tokens must be slow.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from broker.server.config import is_loopback
from broker.server.errors import ApiError
from broker.server.origins import check_framing, host_name, same_origin

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("broker.server.voting")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


class Door:
    """ASGI middleware around the routes."""

    def __init__(self, app: ASGIApp, *, host: str, allowed_hosts: Collection[str]) -> None:
        """Keep the parts.

        Args:
            app: The routes.
            host: The address that is listened on.
            allowed_hosts: Names that a `Host` header may have besides those of this machine; where others can reach
                the server and none is given, any.
        """
        self._app = app
        self._loopback = is_loopback(host)
        self._allowed = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with an error object."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
            await self._app(scope, receive, marked)
        except ApiError as error:
            await JSONResponse(error.body, error.status, error.headers)(scope, receive, marked)
        except Exception:  # the last line of defence: the voter gets an error object, the log the traceback
            log.exception("a request failed")
            if begun:
                raise
            failed = ApiError(500, "The server had an error. Your earlier votes are stored.", kind="server_error")
            await JSONResponse(failed.body, failed.status)(scope, receive, marked)

    def _check(self, scope: Scope, headers: Headers) -> None:
        check_framing(headers)
        host = headers.get("host", "")
        name = host_name(host)
        known = is_loopback(name) or name in self._allowed
        if not known and (self._loopback or self._allowed):
            raise ApiError(400, "The Host header does not name this server.", code="invalid_host")
        site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
        # Following a link from elsewhere is fine; anything else that another site does is not.
        visit = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        foreign = site not in ("none", "same-origin") and not visit
        if foreign or (origin is not None and not same_origin(origin, host)):
            raise ApiError(403, "Pages of another site may not use this server.", code="invalid_origin")
