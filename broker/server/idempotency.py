"""`Idempotency-Key`: a creating call sent twice makes one object, also when the server was killed in between.

The id of the object to be is stored with the key *before* the object is made. A repeat with the same body finds the
object, or makes the one that was promised. The same key with another body is a mistake of the client: 422.
Keys belong to a token and a path, and are kept for a day.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from broker.server.documents import DocumentStore, Shelf
from broker.server.errors import ApiError, invalid
from broker.server.ids import new_id
from broker.server.records import unix_now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

HEADER = "idempotency-key"
LIFE_S = 24 * 3600
_MAX_KEY = 255
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What a key stands for."""

    name: str
    object_id: str
    body_sha256: str
    created_at: int


class Keys:
    """All keys in use."""

    def __init__(self, store: DocumentStore) -> None:
        """Keep the store.

        Args:
            store: Where the documents are.
        """
        self._shelf = Shelf(store, "server-key", KeyRecord, lambda record: record.name)
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}

    @asynccontextmanager
    async def promise(self, request: Request, fingerprint: bytes, prefix: str) -> AsyncGenerator[str]:
        """Give the id of the object to be made; look first whether it exists.

        Args:
            request: The creating call.
            fingerprint: Its content: what makes two calls the same.
            prefix: Of the id, as `file-`.

        Yields:
            The id. While the context is open no other call with this key goes on.

        Raises:
            ApiError: 422 when the key was used with another body, 409 when the first call with it takes too long.
        """
        key = request.headers.get(HEADER)
        if key is None:
            yield new_id(prefix)
            return
        if not key or len(key) > _MAX_KEY:
            raise invalid(f"The {HEADER} must have 1 to {_MAX_KEY} characters.", code="invalid_idempotency_key")
        scope = f"{request.state.token_name}\n{request.method} {request.url.path}\n{key}"
        name = hashlib.sha256(scope.encode("utf-8", "surrogateescape")).hexdigest()
        async with self._alone(name):
            object_id, fresh = await self._object_id(name, hashlib.sha256(fingerprint).hexdigest(), prefix)
            try:
                yield object_id
            except ApiError:
                if fresh:  # nothing was made: the client may mend its request and keep the key
                    await self._shelf.delete(name)
                raise

    async def sweep(self) -> None:
        """Forget keys older than a day."""
        for record in await self._shelf.all():
            if record.created_at + LIFE_S < unix_now():
                await self._shelf.delete(record.name)

    async def _object_id(self, name: str, body_sha256: str, prefix: str) -> tuple[str, bool]:
        known = await self._shelf.get(name)
        if known is not None and known.created_at + LIFE_S >= unix_now():
            if known.body_sha256 != body_sha256:
                message = "This Idempotency-Key was used with another request body; use a new key for a new request."
                raise ApiError(422, message, code="idempotency_key_reused")
            return known.object_id, False
        record = KeyRecord(name=name, object_id=new_id(prefix), body_sha256=body_sha256, created_at=unix_now())
        await self._shelf.put(record)
        return record.object_id, True

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncGenerator[None]:
        lock, users = self._locks.get(name, (anyio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            with anyio.move_on_after(_WAIT_S) as wait:
                await lock.acquire()
            if wait.cancelled_caught:
                raise ApiError(
                    409, "A request with this Idempotency-Key is being worked on.", code="idempotency_key_in_use"
                )
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks[name]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, users - 1)
