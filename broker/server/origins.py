"""Where a request says that it comes from and goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.server.errors import ApiError

if TYPE_CHECKING:
    from starlette.datastructures import Headers


def check_framing(headers: Headers) -> None:
    """Refuse a body with two lengths: a proxy in front may have believed the other one (request smuggling)."""
    if "transfer-encoding" in headers and "content-length" in headers:
        message = "A request has either a Content-Length or a Transfer-Encoding."
        raise ApiError(400, message, code="invalid_http", headers={"connection": "close"})


def host_name(host: str) -> str:
    """Return the name in a `Host` header, without the port."""
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0].lower()


def same_origin(origin: str, host: str) -> bool:
    """Say whether an `Origin` header is the server that a `Host` header names, by http or https."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
