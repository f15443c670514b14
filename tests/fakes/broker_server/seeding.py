"""Gives the ids of the SDK's own tests a meaning.

Those tests were written for a mock that knows every id (`file_id`, `batch_id`, `ft-AF1WoRqd3aJAHsqc9NY7iL8F`). Before a
request that names such an id, this wrapper makes a fresh object through the server's own paths, in the state that the
request needs, and puts its id in the request. The answer is the server's own.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from tests.fakes.broker_server.running import CHAT_ROW, MODEL

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

JOB = "ft-AF1WoRqd3aJAHsqc9NY7iL8F"
TUNED = "ft:gpt-4o-mini:acemeco:suffix:abc123"
UPLOAD = "upload_abc123"
PART_DATA = b"Example data"
BATCH_ROW = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
}


class Seeded:
    """ASGI wrapper around the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        transport = httpx.ASGITransport(app=app)
        self._paused: list[str] = []
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", timeout=30)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        path, body = await self._rewrite(scope["method"], scope["path"].removeprefix("/v1"), body)
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        if body:
            headers.append((b"content-length", str(len(body)).encode()))
        raw_path = f"/v1{path}".encode()
        sent = {"type": "http.request", "body": body, "more_body": False}

        async def told() -> Message:
            nonlocal sent
            if sent:
                message, sent = sent, {}
                return message
            return await receive()

        changed = {**scope, "path": f"/v1{path}", "raw_path": raw_path, "headers": headers}
        await self._app(changed, told, send)

    async def _rewrite(self, method: str, path: str, body: bytes) -> tuple[str, bytes]:
        if (method, path) == ("GET", "/fine_tuning/jobs"):
            await self._end_paused()
        if "/file_id" in path:
            return path.replace("file_id", await self._file(CHAT_ROW, "fine-tune")), body
        if JOB in path:
            return path.replace(JOB, await self._job(path)), body
        if TUNED in path:
            return path.replace(TUNED, await self._tuned()), body
        if UPLOAD in path:
            return await self._upload(path, body)
        if "/batch_id" in path:
            return path.replace("batch_id", await self._batch()), body
        if method == "POST" and b"file-abc123" in body:
            return path, body.replace(b"file-abc123", (await self._file(CHAT_ROW * 10, "fine-tune")).encode())
        if method == "POST" and b'"input_file_id":"input_file_id"' in body:
            file = await self._file(json.dumps(BATCH_ROW).encode(), "batch")
            return path, body.replace(b'"input_file_id":"input_file_id"', f'"input_file_id":"{file}"'.encode())
        return path, body

    async def _file(self, content: bytes, purpose: str) -> str:
        form = {"files": {"file": ("train.jsonl", content)}, "data": {"purpose": purpose}}
        return str((await self._post("/files", **form))["id"])

    async def _job(self, path: str) -> str:
        job_id = await self._new_job()
        if path.endswith("/pause"):
            self._paused.append(job_id)
        if path.endswith("/resume"):
            await self._post(f"/fine_tuning/jobs/{job_id}/pause")
            await self._until(job_id, "paused")
        return job_id

    async def _end_paused(self) -> None:
        """The SDK's own type of a job knows no `paused`: a list for it must have none."""
        while self._paused:
            await self._post(f"/fine_tuning/jobs/{self._paused.pop()}/cancel")

    async def _new_job(self) -> str:
        body = {"model": MODEL, "training_file": await self._file(CHAT_ROW * 10, "fine-tune")}
        return str((await self._post("/fine_tuning/jobs", json=body))["id"])

    async def _tuned(self) -> str:
        return str((await self._until(await self._new_job(), "succeeded"))["fine_tuned_model"])

    async def _until(self, job_id: str, status: str) -> dict[str, Any]:
        while True:
            job = dict((await self._client.get(f"/fine_tuning/jobs/{job_id}")).json())
            if job["status"] == status:
                return job
            await anyio.sleep(0.05)

    async def _upload(self, path: str, body: bytes) -> tuple[str, bytes]:
        wanted = {"filename": "a", "purpose": "assistants", "mime_type": "text/plain", "bytes": len(PART_DATA)}
        upload = str((await self._post("/uploads", json=wanted))["id"])
        if path.endswith("/complete"):
            part = await self._post(f"/uploads/{upload}/parts", files={"data": ("a", PART_DATA)})
            md5 = hashlib.md5(PART_DATA, usedforsecurity=False).hexdigest()
            body = body.replace(b'"string"', f'"{part["id"]}"'.encode()).replace(
                b'"md5":"md5"', f'"md5":"{md5}"'.encode()
            )
        return path.replace(UPLOAD, upload), body

    async def _batch(self) -> str:
        file = await self._file(json.dumps(BATCH_ROW).encode(), "batch")
        body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return str((await self._post("/batches", json=body))["id"])

    async def _post(self, path: str, **more: Any) -> dict[str, Any]:
        answer = await self._client.post(path, **more)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body
