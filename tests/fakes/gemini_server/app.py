"""The API over the state: a Starlette app whose every call may be hit by a fault."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.fakes.gemini_server import errors
from tests.fakes.gemini_server.batching import Batching
from tests.fakes.gemini_server.errors import Refusal
from tests.fakes.gemini_server.faults import AFTER, ANSWERS, BEFORE, Rule
from tests.fakes.gemini_server.messages import checked_request
from tests.fakes.gemini_server.state import Habits, State
from tests.fakes.gemini_server.witness import ASKED, Witness
from tests.fakes.openai_server.app import abort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

_JSON = "application/json; charset=UTF-8"


@dataclass(slots=True)
class Fake:
    """The endpoints."""

    state: State

    # --- the door -------------------------------------------------------------------------------------------------

    async def api(self, request: Request) -> Response:
        """Answer a call of the API: who asks, what for, and then the work with the fault that hits it."""
        call, work = self._route(request)
        self.state.calls[call] += 1
        try:
            self._admit(request)
            body = await _body(request)
            subject = self._subject(request, body)
            rule = next((rule for rule in self.state.rules if rule.hits(call, subject)), None)
            return await self._with_fault(request, rule, call, lambda: work(request, subject, rule))
        except Refusal as refusal:
            return google(refusal.body, refusal.code)

    def _route(self, request: Request) -> tuple[str, Callable[[Request, Any, Rule | None], Awaitable[Response]]]:
        batching, method = Batching(self.state), request.method
        path = str(request.path_params["path"])
        name, _, verb = path.partition(":")
        if _is_upload(request):
            start = request.headers.get("x-goog-upload-command") == "start"
            return ("files.start", batching.start_upload) if start else ("files.upload", batching.upload)
        routes: dict[tuple[str, str, str], tuple[str, Any]] = {
            ("POST", "models", "generateContent"): ("generateContent", self.generate),
            ("POST", "models", "batchGenerateContent"): ("batchGenerateContent", batching.create),
            ("GET", "batches", ""): ("batches.get", batching.get) if "/" in name else ("batches.list", batching.list),
            ("POST", "batches", "cancel"): ("batches.cancel", batching.cancel),
            ("DELETE", "batches", ""): ("batches.delete", batching.delete),
            ("GET", "files", ""): ("files.get", batching.get_file)
            if "/" in name
            else ("files.list", batching.list_files),
            ("GET", "files", "download"): ("files.download", batching.download),
            ("DELETE", "files", ""): ("files.delete", batching.delete_file),
        }
        return routes.get((method, name.split("/")[0], verb), (f"{method} {path}", _nothing_here))

    def _admit(self, request: Request) -> None:
        habits, version = self.state.habits, str(request.path_params["version"])
        if version not in habits.versions:
            raise Refusal(404, f"Requested entity was not found: {request.url.path}")
        if _is_upload(request) and request.headers.get("x-goog-upload-command") != "start":
            return  # the address of an upload is its key
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        if not key:
            raise errors.no_key()
        if habits.key and key != habits.key:
            raise errors.bad_key()

    def _subject(self, request: Request, body: Any) -> dict[str, Any]:
        """Return the body with the model of the path, or nothing where there is none."""
        path = str(request.path_params["path"])
        if not path.startswith("models/"):
            return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        model, _, method = path.partition(":")
        habits, name = self.state.habits, model.removeprefix("models/")
        if name in habits.gone or (habits.models and name not in habits.models):
            raise errors.unknown_model(model, str(request.path_params["version"]), method)
        if not isinstance(body, dict):
            raise errors.bad_value("", "TYPE_MESSAGE", body)
        return {**cast("dict[str, Any]", body), "model": model} if method == "generateContent" else body

    # --- answers --------------------------------------------------------------------------------------------------

    async def generate(self, request: Request, subject: dict[str, Any], rule: Rule | None) -> Response:
        """Answer a prompt."""
        del request
        state, habits = self.state, self.state.habits
        asked = checked_request(subject)
        state.bodies.append(asked)
        wait_s = state.grant()
        if wait_s is not None:
            told_s = (math.ceil(wait_s) if habits.whole_seconds else wait_s) if habits.retry_info else None
            raise errors.exhausted(asked["model"], retry_s=told_s, limit=int(habits.requests_per_minute))
        if habits.most_at_once and state.in_flight >= habits.most_at_once:
            raise errors.named("503", asked["model"], {})
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            if habits.latency_s:
                await anyio.sleep(habits.latency_s)
        finally:
            state.in_flight -= 1
        spoilt = rule is not None and rule.fault in AFTER - {"slow"}
        return google(state.answer(asked, rule, delivered=not spoilt))

    # --- faults ---------------------------------------------------------------------------------------------------

    async def _with_fault(
        self, request: Request, rule: Rule | None, call: str, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        if rule is None or rule.fault in ANSWERS:
            return await work()
        if rule.fault in BEFORE:
            return self._before(request, rule, call)
        return await self._after(rule, await work())

    def _before(self, request: Request, rule: Rule, call: str) -> Response:
        if rule.fault == "reset_before":
            return _Abort()
        if rule.fault == "html":
            return PlainTextResponse("<html><title>Error 502 (Server Error)!!1</title></html>", 502)
        self.state.limited += rule.fault.startswith("429")
        model = str(request.path_params["path"]).partition(":")[0] if "enerateContent" in call else "models/any"
        raise errors.named(rule.fault, model, rule.options)

    async def _after(self, rule: Rule, made: Response) -> Response:
        options, answer = rule.options, cast("bytes", made.body)
        kept = {name: value for name, value in made.headers.items() if name.startswith("x-goog-")}
        match rule.fault:
            case "lose":
                return _Abort()
            case "truncated":
                return _Torn(answer, media_type=_JSON, headers=kept)
            case "truncated_clean":
                return Response(answer[: len(answer) // 2], media_type=_JSON, headers=kept)
            case "slow":
                return _Slow(answer, float(options.get("delay_s", 0.02)))
            case "500_after" | "503_after":
                raise errors.named(rule.fault, "models/any", options)
            case "list_body":
                return Response(b"[1, 2]", media_type=_JSON)
            case "html_after":
                return Response(b"<html>gateway</html>", media_type="text/html")
            case _:
                await anyio.sleep(float(options.get("delay_s", 1.0)))
                return Response(answer, media_type=_JSON, headers=kept)

    # --- the test's own doors -------------------------------------------------------------------------------------

    async def show_ledger(self, request: Request) -> Response:
        del request
        return JSONResponse(self.state.ledger())

    async def set_rules(self, request: Request) -> Response:
        asked = await request.json()
        self.state.rules = [Rule(**rule) for rule in asked.get("rules", [])]
        if "habits" in asked:
            self.state.habits = Habits(**asked["habits"])
        return JSONResponse({})

    async def clear(self, request: Request) -> Response:
        del request
        self.state.reset()
        return JSONResponse({})


class _Abort(Response):
    """Resets the connection, as a dying server or a cut line does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        abort(receive)


class _Torn(Response):
    """Sends half of the body it announced, then resets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        abort(receive)


class _Slow(Response):
    """Sends the body in small pieces."""

    def __init__(self, answer: bytes, delay_s: float) -> None:
        super().__init__(answer, media_type=_JSON)
        self.delay_s = delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for at in range(0, len(self.body), 64):
            await anyio.sleep(self.delay_s)
            last = at + 64 >= len(self.body)
            await send({"type": "http.response.body", "body": self.body[at : at + 64], "more_body": not last})


class Counted:
    """Counts the statuses that go out."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/_control"):
                self.state.statuses[message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counted)


async def _body(request: Request) -> Any:
    """Return the JSON that was sent, or the bytes of an upload."""
    content = request.scope[ASKED] = await request.body()
    if _is_upload(request) and request.headers.get("x-goog-upload-command") != "start":
        return content
    if not content:
        return {}
    try:
        return json.loads(content)
    except ValueError:
        raise Refusal(400, "Invalid JSON payload received. Unexpected token.") from None


def _is_upload(request: Request) -> bool:
    return request.url.path.startswith("/upload/")


async def _nothing_here(request: Request, subject: Any, rule: Rule | None) -> Response:
    del subject, rule
    raise Refusal(404, f"Requested entity was not found: {request.url.path}")


def google(body: dict[str, Any], status: int = 200) -> Response:
    """Return JSON as Google's front end sends it."""
    content = json.dumps(body, indent=2, ensure_ascii=False).encode()
    return Response(content, status, media_type=_JSON)


def build(state: State) -> ASGIApp:
    """Return the app over a state."""
    fake = Fake(state)
    control = [
        Route("/ledger", fake.show_ledger, methods=["GET"]),
        Route("/rules", fake.set_rules, methods=["POST"]),
        Route("/clear", fake.clear, methods=["POST"]),
    ]
    methods = ["GET", "POST", "DELETE"]
    routes = [
        Mount("/_control", routes=control),
        Route("/upload/{version}/{path:path}", fake.api, methods=methods),
        Route("/{version}/{path:path}", fake.api, methods=methods),
    ]
    return Witness(Counted(Starlette(routes=routes), state), state)
