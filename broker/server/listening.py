"""A loopback or network listener for one application: uvicorn, with patience for clients but not without end."""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from broker.errors import BrokerError, UserError
from broker.server.errors import invalid

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from starlette.applications import Starlette

_HEADER_BYTES = 64 * 1024
_KEEP_ALIVE_S = 75
# A client that is still sending a body when it is refused reads the answer only if the rest of the body is taken.
_DROP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to listen, and for how long to wait.

    Attributes:
        host: Address to bind.
        port: TCP port; 0 lets the system choose.
        header_s: Longest time from a connection's opening to the end of its first request's headers, seconds.
        shutdown_s: How long running requests may take to end when the server stops, seconds.
    """

    host: str
    port: int
    header_s: float = 20.0
    shutdown_s: float = 20.0


def _uvicorn_config(app: Starlette, place: Place) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=place.host,
        port=place.port,
        http=partial(PatientProtocol, header_s=place.header_s),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",  # what it would say is in our own log and in the errors raised here
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(place.shutdown_s)),
    )


class Listener(uvicorn.Server):
    """Binds first, tells when it listens, raises what went wrong, and ends as a function does."""

    def __init__(self, app: Starlette, asked: Place, started: Callable[[str], None]) -> None:
        """Keep the parts; `serve` runs it, and `should_exit` ends it.

        Args:
            app: What to serve; an error in its `state.failure` is raised at the end.
            asked: Where.
            started: Called once, with `http://HOST:PORT`, when clients can come.
        """
        super().__init__(_uvicorn_config(app, asked))
        self._app = app
        self._asked = asked
        self._tell = started

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop.

        Raises:
            UserError: The address cannot be bound.
            BrokerError: What the application failed with.
        """
        bound = sockets or [_bind(self._asked)]
        try:
            await super().serve(bound)
        finally:
            for listener in bound:  # uvicorn leaves them open when the application cannot start
                listener.close()
        self._raise_failure()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and tell."""
        try:
            await super().startup(sockets)
        except SystemExit:
            self._raise_failure()
            raise BrokerError("the server could not start; its log says why") from None
        if self.started and not self.should_exit:
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{self._asked.host}]" if ":" in self._asked.host else self._asked.host
            self._tell(f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End as asked; uvicorn would send itself the signal again after the end."""
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def _raise_failure(self) -> None:
        failure: BrokerError | None = getattr(self._app.state, "failure", None)
        if failure is not None:
            raise failure


def _bind(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named: without it each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host.strip("[]"), place.port))
    except OSError as error:
        listener.close()
        what = f"the server cannot listen on {place.host}:{place.port}: {error.strerror}"
        raise UserError(what, fix="choose another --port or --host") from None
    return listener


class PatientProtocol(H11Protocol):
    """Ends connections whose request headers do not come, and answers broken HTTP with an error object."""

    def __init__(self, *args: object, header_s: float, **kwargs: object) -> None:
        """Set up.

        Args:
            args: As uvicorn gives them.
            header_s: How long the headers of a request may take, seconds.
            kwargs: As uvicorn gives them.
        """
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._header_s = header_s
        self._header_timer: asyncio.TimerHandle | None = None
        self._dropped = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Wait for headers as long as they are not complete; drop the rest of a body that was refused, to a limit."""
        answered = getattr(self.cycle, "response_complete", False)
        refused = answered and self.conn.their_state is h11.SEND_BODY
        self._dropped = self._dropped + len(data) if refused else 0
        if self._dropped > _DROP_BYTES:
            self.transport.close()
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._wait_for_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with an error object."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        body = json.dumps(invalid(msg, code="invalid_http").body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait_for_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self._header_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()
