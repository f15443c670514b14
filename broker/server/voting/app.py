"""The routes of the voting server.

| path | method | |
|---|---|---|
| `/join/TOKEN` | GET | the page of an invitation; opening it changes nothing, so link previews make no voters |
| `/join/TOKEN` | POST | makes a voter and tells the personal link |
| `/v/TOKEN` | GET | the page of a voter |
| `/v/TOKEN/state` | GET | what the voter has on the table; whoever asks has come |
| `/v/TOKEN/vote` | POST | `{"item", "choice", "ms"}`, the choice being `1`, `2`, `tie` or `skip` → the next state |
| `/v/TOKEN/undo` | POST | `{"vote"}` → the state before it |
| `/page.js`, `/join.js`, `/page.css` | GET | the pages' own files |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.errors import StoreError, UserError
from broker.jobs.blocking import blocking
from broker.server.errors import ApiError, invalid, unavailable
from broker.server.jsonbody import parse_object, read_body
from broker.server.rates import Rates
from broker.server.voting.door import Door
from broker.voting import Booth, Choice, View, Voter

if TYPE_CHECKING:
    from starlette.requests import Request

_BODY_BYTES = 4096
_BODY_IDLE_S = 15.0
_WRONG_LINKS_PER_MINUTE = 60
_JOINS_PER_MINUTE = 60
_REQUESTS_PER_MINUTE = 600
_LONGEST_TOKEN = 128
_PAGES = {
    "/page.js": ("page.js", "text/javascript"),
    "/join.js": ("join.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteConfig:
    """How a voting server is set up.

    Attributes:
        host: Address to bind.
        port: TCP port; 0 lets the system choose.
        allowed_hosts: More names that a `Host` header may have (behind a proxy).
    """

    host: str = "127.0.0.1"
    port: int = 0
    allowed_hosts: tuple[str, ...] = ()


def create_app(booth: Booth, config: VoteConfig) -> Starlette:
    """Build the application.

    Args:
        booth: What is voted on.
        config: Where it will listen.
    """
    desk = _Desk(booth)
    routes = [
        Route("/join/{token}", desk.invitation, methods=["GET"]),
        Route("/join/{token}", desk.join, methods=["POST"]),
        Route("/v/{token}", desk.page, methods=["GET"]),
        Route("/v/{token}/state", desk.state, methods=["GET"]),
        Route("/v/{token}/vote", desk.vote, methods=["POST"]),
        Route("/v/{token}/undo", desk.undo, methods=["POST"]),
        Route("/favicon.ico", _no_icon, methods=["GET"]),
        *(Route(path, _own_file, methods=["GET"]) for path in _PAGES),
    ]
    door = Middleware(Door, host=config.host, allowed_hosts=config.allowed_hosts)
    handlers: Any = {ApiError: _api_error, HTTPException: _http_error, StoreError: _store_error, UserError: _user_error}
    app = Starlette(routes=routes, middleware=[door], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Desk:
    """The routes that need the booth."""

    def __init__(self, booth: Booth) -> None:
        self._booth = booth
        self._rates = Rates()

    async def invitation(self, request: Request) -> Response:
        await self._check_invitation(request)
        return _page("join.html")

    async def join(self, request: Request) -> Response:
        await self._check_invitation(request)
        await _body(request)
        self._rates.take(f"join {_address(request)}", _JOINS_PER_MINUTE)
        _, token = await blocking(self._booth.book.join)
        return JSONResponse({"link": f"/v/{token}"})

    async def page(self, request: Request) -> Response:
        await self._voter(request)
        return _page("page.html")

    async def state(self, request: Request) -> Response:
        voter = await self._voter(request)
        return self._answer(await blocking(self._booth.greet, voter))

    async def vote(self, request: Request) -> Response:
        voter = await self._voter(request)
        body = await _body(request)
        item, choice, ms = _text(body, "item"), _choice(body), _milliseconds(body)
        return self._answer(await blocking(self._booth.vote, voter, item, choice, ms))

    async def undo(self, request: Request) -> Response:
        voter = await self._voter(request)
        vote = _text(await _body(request), "vote")
        return self._answer(await blocking(self._booth.undo, voter, vote))

    def _answer(self, view: View) -> Response:
        shown = view.shown
        item = None
        if shown is not None:
            question = shown.row.question
            item = {
                "id": shown.id,
                "question": [{"role": turn.role, "text": turn.text} for turn in question.turns],
                "answers": list(shown.answers),
                "expected": question.expected if self._booth.helped else None,
            }
        return JSONResponse(
            {
                "criterion": self._booth.ballot.criterion,
                "done": view.done,
                "total": view.total,
                "item": item,
                "last": view.last,
                "heard": view.heard,
            }
        )

    async def _voter(self, request: Request) -> Voter:
        voter = await blocking(self._booth.book.voter, _token(request))
        if voter is None:
            raise self._wrong_link(request)
        self._rates.take(voter.id, _REQUESTS_PER_MINUTE)
        return voter

    async def _check_invitation(self, request: Request) -> None:
        if not await blocking(self._booth.book.invited, _token(request)):
            raise self._wrong_link(request)

    def _wrong_link(self, request: Request) -> ApiError:
        self._rates.take(f"wrong {_address(request)}", _WRONG_LINKS_PER_MINUTE)
        return ApiError(404, "This link is not known. Ask whoever sent it for a new one.", code="unknown_link")


def _token(request: Request) -> str:
    return str(request.path_params["token"])[:_LONGEST_TOKEN]


def _address(request: Request) -> str:
    return request.client.host if request.client else "?"


async def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "Send JSON, as application/json.", code="unsupported_media_type")
    return parse_object(await read_body(request, limit=_BODY_BYTES, idle_s=_BODY_IDLE_S))


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TOKEN:
        raise invalid(f"'{name}' must be a short text.", param=name)
    return value


def _choice(body: dict[str, Any]) -> Choice:
    value = body.get("choice")
    if not isinstance(value, str) or value not in set(Choice):
        raise invalid(f"'choice' must be one of {', '.join(Choice)}.", param="choice")
    return Choice(value)


def _milliseconds(body: dict[str, Any]) -> int:
    value = body.get("ms")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise invalid("'ms' must be a whole number of milliseconds.", param="ms")
    return value


@cache
def _read(name: str) -> bytes:
    return files("broker.server.voting.pages").joinpath(name).read_bytes()


def _page(name: str) -> Response:
    return Response(_read(name), media_type="text/html")


async def _own_file(request: Request) -> Response:
    name, kind = _PAGES[request.url.path]
    return Response(_read(name), media_type=kind)


async def _no_icon(request: Request) -> Response:
    del request
    return Response(status_code=204)


async def _api_error(request: Request, error: ApiError) -> Response:
    """Answer a program with an error object, and a person who follows a wrong link with a page."""
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
        return Response(_read("lost.html"), error.status, error.headers, "text/html")
    return JSONResponse(error.body, error.status, error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette itself refuses: an unknown path or method."""
    known = {404: "There is no such page.", 405: "Not allowed here."}
    message = known.get(error.status_code, str(error.detail))
    return await _api_error(request, ApiError(error.status_code, message, headers=error.headers))


async def _store_error(request: Request, error: StoreError) -> Response:
    del error
    return await _api_error(request, unavailable("The vote could not be stored. Please try again.", retry_after_s=5))


async def _user_error(request: Request, error: UserError) -> Response:
    return await _api_error(request, ApiError(409, error.message))
