"""Stands between the SDK and the server and holds everything that passes, both ways, against the wire.

What does not fit is kept in `State.breaches`; `running()` fails at its end when there are any. Answers that a rule has
spoilt on purpose, and callers other than the SDK, are left alone.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pydantic import TypeAdapter

from tests.fakes.gemini_server.faults import AFTER
from tests.fakes.gemini_server.wire import (
    CreateBatch,
    CreateFile,
    FiledReply,
    FileMade,
    FileRow,
    FileShown,
    Operation,
    Operations,
    Question,
    Refused,
    Reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tests.fakes.gemini_server.state import State

# Method, path, what is sent, what comes back; None is not JSON, or nothing.
_CALLS: tuple[tuple[str, str, Any, Any], ...] = (
    ("POST", r"/v1\w*/models/[a-z0-9.\-]+:generateContent", Question, Reply),
    ("POST", r"/v1\w*/models/[a-z0-9.\-]+:batchGenerateContent", CreateBatch, Operation),
    ("GET", r"/v1\w*/batches", None, Operations),
    ("GET", r"/v1\w*/batches/[a-z0-9]+", None, Operation),
    ("POST", r"/v1\w*/batches/[a-z0-9]+:cancel", dict[str, Any], dict[str, Any]),
    ("POST", r"/upload/v1\w*/files", CreateFile, FileMade),
    ("GET", r"/v1\w*/files/[a-z0-9-]+", None, FileShown),
    ("GET", r"/v1\w*/files/[a-z0-9-]+:download", None, None),
)
# Where in the scope the app leaves the body that it read.
ASKED = "asked"
_PARAMETERS = frozenset({"pageSize", "pageToken", "alt", "upload_id", "upload_protocol"})
# Faults whose replies are not the wire's.
_SPOILT = AFTER | {"raw", "unknown_fields", "finish", "html"}


class Witness:
    """Stands before the app and keeps what does not fit."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state
        self._spoilt = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode().lower(): value.decode() for name, value in scope.get("headers", ())}
        if scope["type"] != "http" or "google-genai-sdk" not in headers.get("x-goog-api-client", ""):
            await self.app(scope, receive, send)
            return
        told, seen = bytearray(), {"status": 0, "whole": False}

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            else:
                told.extend(message.get("body", b""))
                seen["whole"] = not message.get("more_body", False)
            await send(message)

        await self.app(scope, receive, tell)
        call = f"{scope['method']} {scope['path']}"
        self._look(call, lambda: check_request(scope, headers))
        self._spoilt = self._spoilt or self._spoils()
        if seen["whole"] and not self._spoilt:
            self._look(call, lambda: check_reply(scope, headers, int(seen["status"]), bytes(told)))

    def _spoils(self) -> bool:
        habits, rules = self.state.habits, self.state.rules
        return bool(habits.batch_state or habits.batch_end == "PARTIALLY_SUCCEEDED") or any(
            rule.fault in _SPOILT or "block_reason" in rule.options for rule in rules
        )

    def _look(self, call: str, check: Callable[[], None]) -> None:
        try:
            check()
        except ValueError as error:
            self.state.breaches.append(f"{call}: {error}")


def check_request(scope: Scope, headers: dict[str, str]) -> None:
    """Read a call as Google would.

    Raises:
        ValueError: What does not fit.
    """
    sent, _ = _messages(scope)
    body: bytes | None = scope.get(ASKED)
    query = parse_qs(scope["query_string"].decode())
    if beyond := set(query) - _PARAMETERS:
        raise ValueError(f"parameters {sorted(beyond)}")
    by_address = "upload_id" in query  # which stands for the key
    if not headers.get("x-goog-api-key") and not by_address:
        raise ValueError("no key in the header x-goog-api-key")
    if "authorization" in headers or headers.get("x-goog-api-key", "-") in scope["path"]:
        raise ValueError("the key stands where it should not")
    if body is None:
        return
    if by_address:
        _check_rows(body)
    elif sent is not None:
        if not headers.get("content-type", "").startswith("application/json"):
            raise ValueError(f"content-type {headers.get('content-type')!r}")
        asked = _read(sent, body)
        rows = asked.batch.inputConfig.requests if isinstance(asked, CreateBatch) else None
        for question in [row.request for row in rows.requests] if rows else [asked]:
            if isinstance(question, Question):
                question.fits(scope["path"].rpartition("/")[2].partition(":")[0])


def check_reply(scope: Scope, headers: dict[str, str], status: int, body: bytes) -> None:
    """Read an answer of the server.

    Raises:
        ValueError: What does not fit.
    """
    if status != HTTPStatus.OK:
        refused: Refused = _read(Refused, body)
        if refused.error.code != status:
            raise ValueError(f"code {refused.error.code} with the status {status}")
        return
    _, told = _messages(scope)
    starts = headers.get("x-goog-upload-command") == "start"
    if scope["path"].endswith(":download"):
        for line in body.splitlines():
            _read(FiledReply, line)
    elif told is not None and not starts:
        _read(told, body)


def _messages(scope: Scope) -> tuple[Any, Any]:
    for method, path, sent, told in _CALLS:
        if scope["method"] == method and re.fullmatch(path, scope["path"]):
            return sent, told
    raise ValueError("no such call")


def _check_rows(body: bytes) -> None:
    rows: list[FileRow] = [_read(FileRow, line) for line in body.splitlines()]
    if len({row.key for row in rows}) != len(rows):
        raise ValueError("a key stands twice in the file")


def _read(message: Any, body: bytes) -> Any:
    """Return a message of JSON in which no name stands twice."""
    return TypeAdapter(message).validate_python(json.loads(body, object_pairs_hook=_once))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a name stands twice: {names}")
    return dict(pairs)
