"""The protocol over the state: a Starlette app whose every call may be hit by a fault."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

import anyio
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.fakes.openai_server.faults import BEFORE, Rule
from tests.fakes.openai_server.state import Habits, Held, State, chat_body, error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

CLOSED = "You are not allowed to create fine-tuning jobs: this organization has no access to fine-tuning."
_SAYS = {
    "500_before": (500, "server_error", None, "The server had an error"),
    "503_before": (503, "server_error", None, "The server is overloaded"),
    "409_before": (409, "conflict_error", None, "Another request is in progress"),
    "429": (429, "requests", "rate_limit_exceeded", "Rate limit reached"),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    "401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}"),
    "403": (403, "invalid_request_error", "training_not_available", CLOSED),
    "400": (400, "invalid_request_error", "invalid_value", "That is not right"),
    "404": (404, "invalid_request_error", None, "No such thing"),
}


def refuse(status: int, kind: str, message: str, code: str | None = None, **headers: str) -> JSONResponse:
    return JSONResponse({"error": error_body(message, kind, code)}, status, headers=headers)


class Fake:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        self.state = state

    # --- files ----------------------------------------------------------------------------------------------------

    async def create_file(self, request: Request) -> Response:
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            held = self.state.add_file(await file.read(), file.filename or "", str(form["purpose"]))
        return JSONResponse(held.body)

    async def list_files(self, request: Request) -> Response:
        purpose = request.query_params.get("purpose")
        kept = {name: held for name, held in self.state.files.items() if purpose in (None, held.body["purpose"])}
        return self._page(request, "files", kept, lambda held: held.body)

    async def get_file(self, request: Request) -> Response:
        held = self.state.files.get(request.path_params["id"])
        if held is None:
            return refuse(404, "invalid_request_error", "No such File object")
        held.looks += 1
        if held.body["status"] in {"uploaded", "pending"} and held.looks >= self.state.habits.file_looks:
            held.body["status"] = "processed"
        return JSONResponse(held.body)

    async def delete_file(self, request: Request) -> Response:
        gone = self.state.files.pop(request.path_params["id"], None)
        return JSONResponse({"id": request.path_params["id"], "object": "file", "deleted": gone is not None})

    async def file_content(self, request: Request) -> Response:
        held = self.state.files.get(request.path_params["id"])
        if held is None:
            return refuse(404, "invalid_request_error", "No such File object")
        return Response(held.content, media_type="application/octet-stream")

    async def create_upload(self, request: Request) -> Response:
        if self.state.habits.no_uploads:
            return refuse(404, "invalid_request_error", "Unknown path")
        asked = await request.json()
        body: dict[str, Any] = {
            "id": self.state.new_id("upload"), "object": "upload", "bytes": asked["bytes"], "created_at": 0,
            "filename": asked["filename"], "purpose": asked["purpose"], "status": "pending", "expires_at": 0,
        }  # fmt: skip
        self.state.uploads[body["id"]] = Held(body=body, made=0, listings=0)
        return JSONResponse(body)

    async def add_part(self, request: Request) -> Response:
        part_id = self.state.new_id("part")
        async with request.form() as form:
            data = form["data"]
            assert isinstance(data, UploadFile)
            self.state.parts[part_id] = await data.read()
        body = {"id": part_id, "object": "upload.part", "created_at": 0, "upload_id": request.path_params["id"]}
        return JSONResponse(body)

    async def complete_upload(self, request: Request) -> Response:
        held = self.state.uploads[request.path_params["id"]]
        content = b"".join(self.state.parts[part_id] for part_id in (await request.json())["part_ids"])
        if len(content) != held.body["bytes"] or held.body["status"] != "pending":
            return refuse(400, "invalid_request_error", "The upload cannot be completed")
        file = self.state.add_file(content, held.body["filename"], held.body["purpose"])
        held.body |= {"status": "completed", "file": file.body}
        return JSONResponse(held.body)

    # --- jobs -----------------------------------------------------------------------------------------------------

    async def create_job(self, request: Request) -> Response:
        asked = await request.json()
        if asked.get("training_file") not in self.state.files:
            return refuse(400, "invalid_request_error", "invalid training_file", "invalid_file")
        return JSONResponse(self.state.add_job(asked).body)

    async def list_jobs(self, request: Request) -> Response:
        wanted = {}
        for name, value in request.query_params.items():
            if found := re.fullmatch(r"metadata\[(.+)\]", name):
                wanted[found[1]] = value
        if self.state.habits.ignore_filter:
            wanted = {}
        kept = {
            name: held
            for name, held in self.state.jobs.items()
            if wanted.items() <= cast("dict[str, str]", held.body["metadata"] or {}).items()
        }
        return self._page(request, "jobs", kept, self.state.look_at_job)

    async def get_job(self, request: Request) -> Response:
        held = self.state.jobs.get(request.path_params["id"])
        if held is None:
            return refuse(404, "invalid_request_error", "Could not find fine tune", "fine_tune_not_found")
        return JSONResponse(self.state.look_at_job(held))

    async def ask_job(self, request: Request) -> Response:
        held = self.state.jobs.get(request.path_params["id"])
        if held is None:
            return refuse(404, "invalid_request_error", "Could not find fine tune")
        if held.body["status"] in {"succeeded", "failed", "cancelled"}:
            return refuse(400, "invalid_request_error", f"Job has already {held.body['status']}")
        held.wanted = {"cancel": "cancelled", "pause": "paused", "resume": ""}[request.path_params["what"]]
        return JSONResponse(self.state.look_at_job(held))

    async def job_events(self, request: Request) -> Response:
        held = self.state.jobs[request.path_params["id"]]
        made = {}
        for step in range(1, held.looks + 1):
            data = {"step": step, "total_steps": self.state.habits.looks, "train_loss": round(2 / step, 3)}
            body: dict[str, Any] = {
                "id": f"ftevent-{held.body['id'][-6:]}-{step:04d}", "object": "fine_tuning.job.event",
                "created_at": int(held.body["created_at"]) + step, "level": "info", "type": "metrics",
                "message": f"Step {step}/{self.state.habits.looks}: training loss={data['train_loss']}", "data": data,
            }  # fmt: skip
            made[body["id"]] = Held(body=body, made=-math.inf, listings=-1)
        return self._page(request, "events", made, lambda one: one.body)

    async def job_checkpoints(self, request: Request) -> Response:
        held = self.state.jobs[request.path_params["id"]]
        made = {}
        for step in range(1, 4):
            body: dict[str, Any] = {
                "id": f"ftckpt-{held.body['id'][-6:]}-{step}", "object": "fine_tuning.job.checkpoint",
                "created_at": step,
                "fine_tuning_job_id": held.body["id"], "step_number": step * 10, "metrics": {"train_loss": 2 / step},
                "fine_tuned_model_checkpoint": f"ft:{held.body['model']}:org::x:ckpt-step-{step * 10}",
            }  # fmt: skip
            made[body["id"]] = Held(body=body, made=-math.inf, listings=-1)
        return self._page(request, "checkpoints", made, lambda one: one.body)

    # --- batches and chat -----------------------------------------------------------------------------------------

    async def create_batch(self, request: Request) -> Response:
        asked = await request.json()
        if asked["input_file_id"] not in self.state.files:
            return refuse(400, "invalid_request_error", "invalid input_file_id")
        return JSONResponse(self.state.add_batch(asked).body)

    async def list_batches(self, request: Request) -> Response:
        return self._page(request, "batches", self.state.batches, lambda held: held.body)

    async def get_batch(self, request: Request) -> Response:
        held = self.state.batches.get(request.path_params["id"])
        if held is None:
            return refuse(404, "invalid_request_error", "No batch found")
        return JSONResponse(self.state.look_at_batch(held))

    async def chat(self, request: Request) -> Response:
        state, habits = self.state, self.state.habits
        asked = await request.json()
        state.bodies.append(asked)
        wait_s = state.grant()
        busy = habits.most_at_once and state.in_flight >= habits.most_at_once
        if wait_s is not None or busy:
            state.chats["limited"] += 1
            after = {"none": None, "int": str(max(1, math.ceil(wait_s or 0))), "exact": f"{wait_s or 0.02:.3f}"}
            told = after[habits.retry_after]
            limited: dict[str, str] = {"retry-after": told} if told else {}
            return refuse(429, "requests", "Rate limit reached for requests", "rate_limit_exceeded", **limited)
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            if habits.latency_s:
                await anyio.sleep(habits.latency_s)
        finally:
            state.in_flight -= 1
        state.chats["answered"] += 1
        headers = {}
        if habits.headers:
            headers = {
                "x-ratelimit-limit-requests": str(int(habits.rate * 60)),
                "x-ratelimit-remaining-requests": str(int(state.tokens)),
            }
        body = chat_body(asked)
        body["choices"][0] |= habits.choice
        return JSONResponse(body, headers=headers)

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

    async def add_rule(self, request: Request) -> Response:
        self.state.rules.append(Rule(**await request.json()))
        return JSONResponse({})

    async def clear(self, request: Request) -> Response:
        del request
        self.state.reset()
        return JSONResponse({})

    def _page(
        self, request: Request, kind: str, held: dict[str, Held], show: Callable[[Held], dict[str, Any]]
    ) -> Response:
        self.state.listings[kind] += 1
        limit = int(request.query_params.get("limit", "20"))
        after = None if self.state.habits.ignore_after else request.query_params.get("after")
        ids = [name for name in reversed(held) if self.state.visible(kind, held[name])]
        start = ids.index(after) + 1 if after in ids else 0
        chosen = ids[start : start + limit]
        more = self.state.habits.ignore_after or start + limit < len(ids)
        return JSONResponse({"object": "list", "data": [show(held[name]) for name in chosen], "has_more": more})


class Faults:
    """Stands before the app: counts calls and acts faults out."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_control"):
            await self.app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix("/v1")
        self.state.calls[f"{scope['method']} {re.sub(r'/(ft|file-|batch-|upload-)[^/]*', '/ID', path)}"] += 1
        denied = self._denied(scope)
        rules = [rule for rule in self.state.rules if rule.hits(scope["method"], path)]
        if denied is not None:
            await denied(scope, receive, send)
        elif rules:
            await self._act(rules[0], scope, receive, send)
        else:
            await self.app(scope, receive, self._counted(send))

    def _denied(self, scope: Scope) -> Response | None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        key = self.state.habits.key
        if key and headers.get("authorization") != f"Bearer {key}":
            return refuse(401, "invalid_request_error", "Incorrect API key provided", "invalid_api_key")
        return None

    def _counted(self, send: Send) -> Send:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.state.statuses[message["status"]] += 1
            await send(message)

        return counted

    async def _act(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        fault, options = rule.fault, rule.options
        if fault in BEFORE:
            await self._act_before(fault, options, scope, receive, send)
            return
        answer = await self._answer(scope, receive)
        if fault in {"lose", "reset"}:
            abort(receive)
        elif fault == "500_after":
            await refuse(500, "server_error", "The server had an error")(scope, receive, send)
        elif fault == "409_after":
            await refuse(409, "conflict_error", "Another request is in progress")(scope, receive, send)
        elif fault == "late":
            await anyio.sleep(options.get("delay_s", 1.0))
            await Response(answer, media_type="application/json")(scope, receive, send)
        elif fault == "half_json":
            await self._half(answer, len(answer), send)
            abort(receive)
        elif fault == "half_json_clean":
            await self._half(answer, len(answer) // 2, send)
        elif fault == "slow":
            await self._slow(answer, options.get("delay_s", 0.05), send)
        else:
            other = {"list_body": b"[1, 2]", "html_after": b"<html>gateway</html>"}[fault]
            kind = "application/json" if fault == "list_body" else "text/html"
            await Response(other, media_type=kind)(scope, receive, send)

    async def _act_before(
        self, fault: str, options: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        await Request(scope, receive).body()
        if fault == "reset_before":
            abort(receive)
            return
        if fault == "html":
            await PlainTextResponse("<html>bad gateway</html>", 502)(scope, receive, send)
            return
        status, kind, code, message = _SAYS[fault]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        text = str(options.get("message", message)).format(key=headers.get("authorization", ""))
        told: dict[str, str] = {"retry-after": str(options["retry_after"])} if "retry_after" in options else {}
        self.state.statuses[status] += 1
        await refuse(status, kind, text, options.get("code", code), **told)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        parts: list[bytes] = []

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.app(scope, receive, keep)
        return b"".join(parts)

    async def _half(self, answer: bytes, length: int, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        whole = length < len(answer)
        await send({"type": "http.response.body", "body": answer[: len(answer) // 2], "more_body": not whole})

    async def _slow(self, answer: bytes, delay_s: float, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(answer), 64):
            await anyio.sleep(delay_s)
            last = at + 64 >= len(answer)
            await send({"type": "http.response.body", "body": answer[at : at + 64], "more_body": not last})


def abort(receive: Receive) -> None:
    """Reset the connection, as a dying server or a cut line does."""
    cycle: Any = cast("Any", receive).__self__  # uvicorn's own object for this request
    cycle.transport.abort()


def build(state: State) -> ASGIApp:
    """Return the app over a state."""
    fake = Fake(state)
    get, post = ["GET"], ["POST"]
    v1: list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]] = [
        ("/files", fake.create_file, post),
        ("/files", fake.list_files, get),
        ("/files/{id}", fake.get_file, get),
        ("/files/{id}", fake.delete_file, ["DELETE"]),
        ("/files/{id}/content", fake.file_content, get),
        ("/uploads", fake.create_upload, post),
        ("/uploads/{id}/parts", fake.add_part, post),
        ("/uploads/{id}/complete", fake.complete_upload, post),
        ("/fine_tuning/jobs", fake.create_job, post),
        ("/fine_tuning/jobs", fake.list_jobs, get),
        ("/fine_tuning/jobs/{id}", fake.get_job, get),
        ("/fine_tuning/jobs/{id}/events", fake.job_events, get),
        ("/fine_tuning/jobs/{id}/checkpoints", fake.job_checkpoints, get),
        ("/fine_tuning/jobs/{id}/{what}", fake.ask_job, post),
        ("/batches", fake.create_batch, post),
        ("/batches", fake.list_batches, get),
        ("/batches/{id}", fake.get_batch, get),
        ("/chat/completions", fake.chat, post),
    ]
    control = [
        Route("/ledger", fake.show_ledger, methods=get),
        Route("/rules", fake.set_rules, methods=post),
        Route("/fault", fake.add_rule, methods=post),
        Route("/clear", fake.clear, methods=post),
    ]
    routes = [Mount("/v1", routes=[Route(path, call, methods=how) for path, call, how in v1])]
    return Faults(Starlette(routes=[*routes, Mount("/_control", routes=control)]), state)
