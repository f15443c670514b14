"""Batches and files: the long-running operation, its input and its results, the resumable upload."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from tests.fakes.gemini_server.errors import Refusal, no_file
from tests.fakes.gemini_server.messages import CREATE_BATCH, FILE, FILE_ROW, checked, checked_request
from tests.fakes.gemini_server.state import Batch, State, stamp

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.fakes.gemini_server.faults import Rule

_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"})
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Batching:
    """The endpoints of batches and files."""

    state: State

    # --- batches --------------------------------------------------------------------------------------------------

    async def create(self, request: Request, subject: dict[str, Any], rule: Rule | None) -> Response:
        """Take a batch: inline requests, or a file of them."""
        del rule
        model = str(request.path_params["path"]).partition(":")[0]
        asked: dict[str, Any] = checked(subject, CREATE_BATCH).get("batch", {})
        source: dict[str, Any] = asked.get("inputConfig", {})
        if not asked.get("displayName"):
            raise Refusal(400, "* BatchGenerateContentRequest.batch.display_name: display_name is required.\n")
        if ("requests" in source) == ("fileName" in source):
            raise Refusal(400, "* BatchGenerateContentRequest.batch.input_config: exactly one source is required.\n")
        inline = "requests" in source
        if inline and len(await request.body()) > self.state.habits.inline_bytes:
            most = self.state.habits.inline_bytes
            raise Refusal(400, f"Request payload size exceeds the limit: {most} bytes.")
        rows = self._inline(source) if inline else self._from_file(source["fileName"])
        made = self.state.add_batch(
            model, asked["displayName"], [(key, {**row, "model": model}) for key, row in rows], inline
        )
        return _json(self.show(made))

    def _inline(self, source: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        rows = source["requests"].get("requests", [])
        if not rows:
            raise Refusal(400, "* BatchGenerateContentRequest.batch.input_config.requests: requests is empty.\n")
        return [(str(row.get("metadata", {}).get("key", "")), checked_request(row.get("request", {}))) for row in rows]

    def _from_file(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        file = self.state.files.get(name)
        if file is None:
            raise no_file(name)
        rows = [checked(json.loads(line), FILE_ROW) for line in file.content.splitlines() if line.strip()]
        return [(str(row.get("key", "")), checked_request(row["request"])) for row in rows]

    async def get(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Show a batch, one look further."""
        del subject, rule
        batch = self._batch(str(request.path_params["path"]))
        self.state.look(batch)
        return _json(self.show(batch))

    async def list(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """List batches, the newest first."""
        del subject, rule
        state = self.state
        state.listings += 1
        shown = [batch for batch in reversed(state.batches.values()) if state.visible(batch)]
        size = min(int(request.query_params.get("pageSize", "100")), state.habits.page_most)
        start = int(request.query_params.get("pageToken", "0"))
        page: dict[str, Any] = {"operations": [self.show(batch) for batch in shown[start : start + size]]}
        if start + size < len(shown):
            page["nextPageToken"] = str(start + size)
        return _json(page if shown else {})

    async def cancel(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Cancel a batch."""
        del subject, rule
        batch = self._batch(str(request.path_params["path"]).partition(":")[0])
        if batch.state not in _ENDED:
            batch.state = "CANCELLED"
        return _json({})

    async def delete(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Forget a batch."""
        del subject, rule
        del self.state.batches[self._batch(str(request.path_params["path"])).name]
        return _json({})

    def show(self, batch: Batch) -> dict[str, Any]:
        """Return a batch as the long-running operation that it is."""
        state = self.state.habits.batch_state or f"BATCH_STATE_{batch.state}"
        ended = batch.state in _ENDED and not self.state.habits.batch_state
        metadata: dict[str, Any] = {
            "@type": _TYPE + "GenerateContentBatch",
            "model": batch.model,
            "displayName": batch.display_name,
            "createTime": stamp(batch.created),
            "updateTime": stamp(batch.created),
            "batchStats": self._stats(batch),
            "state": state,
            "name": batch.name,
        }
        shown: dict[str, Any] = {"name": batch.name, "metadata": metadata}
        if ended:
            metadata["endTime"] = stamp(batch.created)
            shown["done"] = True
        if batch.output and ended:
            metadata["output"] = batch.output
            shown["response"] = {"@type": _TYPE + "GenerateContentBatchOutput", **batch.output}
        elif ended:
            code = 1 if batch.state == "CANCELLED" else 13
            shown["error"] = {"code": code, "message": f"The batch is {batch.state.lower()}."}
        return shown

    def _stats(self, batch: Batch) -> dict[str, str]:
        left = len(batch.requests) if not batch.output else 0
        counts = {
            "requestCount": len(batch.requests),
            "successfulRequestCount": batch.good,
            "failedRequestCount": batch.bad,
            "pendingRequestCount": left,
        }
        return {name: str(count) for name, count in counts.items() if count}

    def _batch(self, name: str) -> Batch:
        if name not in self.state.batches:
            raise Refusal(404, "Requested entity was not found.")
        return self.state.batches[name]

    # --- files ----------------------------------------------------------------------------------------------------

    async def start_upload(self, request: Request, subject: dict[str, Any], rule: Rule | None) -> Response:
        """Begin a resumable upload and say where its bytes go."""
        del rule
        headers = request.headers
        wanted = ("x-goog-upload-header-content-length", "x-goog-upload-header-content-type")
        if headers.get("x-goog-upload-protocol") != "resumable" or not all(name in headers for name in wanted):
            raise Refusal(400, "Invalid upload: the headers of a resumable upload are missing.")
        asked: dict[str, Any] = checked(subject, FILE).get("file", {})
        name = str(asked.get("name") or f"files/{self.state.new_id()}")
        if name in self.state.files:
            raise Refusal(409, f"Requested entity already exists: {name}")
        upload_id = self.state.new_id()
        self.state.uploads[upload_id] = {
            "name": name, "display_name": str(asked.get("displayName", "")), "length": int(headers[wanted[0]]),
            "mime_type": headers[wanted[1]], "content": b"",
        }  # fmt: skip
        version = request.path_params["version"]
        address = f"{_base(request)}/upload/{version}/files?upload_id={upload_id}&upload_protocol=resumable"
        told = {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"}
        return Response(b"", headers=told)

    async def upload(self, request: Request, subject: dict[str, Any], rule: Rule | None) -> Response:
        """Take a piece of an upload; the last one makes the file."""
        del subject, rule
        held = self.state.uploads.get(request.query_params.get("upload_id", ""))
        if held is None:
            raise Refusal(404, "Requested entity was not found.")
        if int(request.headers.get("x-goog-upload-offset", "0")) != len(held["content"]):
            raise Refusal(400, "Invalid upload: the offset does not fit.")
        held["content"] += await request.body()
        if "finalize" not in request.headers.get("x-goog-upload-command", ""):
            return Response(b"", headers={"X-Goog-Upload-Status": "active"})
        if len(held["content"]) != held["length"]:
            raise Refusal(400, "Invalid upload: the size does not fit.")
        del self.state.uploads[request.query_params["upload_id"]]
        file = self.state.add_file(held["name"], held["display_name"], held["mime_type"], held["content"])
        shown = {"file": self.state.show_file(file, _base(request))}
        return JSONResponse(shown, headers={"X-Goog-Upload-Status": "final"})

    async def get_file(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Show a file."""
        del subject, rule
        file = self.state.files.get(str(request.path_params["path"]))
        if file is None:
            raise no_file(str(request.path_params["path"]))
        return _json(self.state.show_file(file, _base(request)))

    async def list_files(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """List the uploaded files."""
        del subject, rule
        shown = [self.state.show_file(file, _base(request)) for file in self.state.files.values()]
        return _json({"files": shown} if shown else {})

    async def download(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Return the content of a file that a batch made."""
        del subject, rule
        name = str(request.path_params["path"]).partition(":")[0]
        file = self.state.files.get(name)
        if file is None:
            raise no_file(name)
        if file.source != "GENERATED":
            raise Refusal(400, "Only generated files can be downloaded.")
        return Response(file.content, media_type=_OCTETS)

    async def delete_file(self, request: Request, subject: Any, rule: Rule | None) -> Response:
        """Forget a file."""
        del subject, rule
        if self.state.files.pop(str(request.path_params["path"]), None) is None:
            raise no_file(str(request.path_params["path"]))
        return _json({})


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _json(body: dict[str, Any]) -> Response:
    content = json.dumps(body, indent=2, ensure_ascii=False).encode()
    return Response(content, media_type="application/json; charset=UTF-8")
