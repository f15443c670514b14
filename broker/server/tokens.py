"""Bearer tokens: named, made by the server's owner, kept as hashes.

A token has 256 random bits, so a plain SHA-256 of it cannot be turned round, and no slow password hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.errors import UserError
from broker.jobs.blocking import blocking
from broker.jobs.codec import dump, load

if TYPE_CHECKING:
    from broker.server.documents import DocumentStore

KIND = "server-token"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FRESH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token.

    Attributes:
        name: Whose it is.
        sha256: Hash of the token, hex.
        created_at: Unix time, seconds.
        requests_per_minute: Its own limit; `None` is the server's.
    """

    name: str
    sha256: str
    created_at: int
    requests_per_minute: int | None = None


def new_token(store: DocumentStore, name: str, *, requests_per_minute: int | None = None) -> str:
    """Make a token and keep its hash.

    Args:
        store: Where the documents are.
        name: Whose it is: letters, digits, `.`, `_`, `-`.
        requests_per_minute: Its own limit; `None` is the server's.

    Returns:
        The token. It is shown once and kept nowhere.

    Raises:
        UserError: The name is taken or does not fit.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a token",
            fix="use up to 64 letters, digits, '.', '_' and '-', a letter or digit first",
        )
    if store.document(KIND, name) is not None:
        raise UserError(f"a token named {name!r} exists", fix="choose another name, or delete that one first")
    secret = f"bk-{secrets.token_urlsafe(32)}"
    now = int(datetime.now(tz=UTC).timestamp())
    token = Token(name=name, sha256=_hash(secret), created_at=now, requests_per_minute=requests_per_minute)
    store.put_document(KIND, name, dump(token))
    return secret


def delete_token(store: DocumentStore, name: str) -> bool:
    """Delete a token by its name; a running server refuses it within two seconds."""
    return store.delete_document(KIND, name)


def token_names(store: DocumentStore) -> list[str]:
    """Return the names of all tokens, oldest first."""
    return list(store.documents(KIND))


class TokenBook:
    """Knows the tokens; looks again for new and deleted ones every two seconds."""

    def __init__(self, store: DocumentStore) -> None:
        """Keep the store.

        Args:
            store: Where the documents are.
        """
        self._store = store
        self._tokens: list[Token] = []
        self._read_at = float("-inf")

    async def tokens(self) -> list[Token]:
        """Return all tokens."""
        if time.monotonic() - self._read_at > _FRESH_S:
            found = await blocking(self._store.documents, KIND)
            self._tokens = [load(Token, data) for data in found.values()]
            self._read_at = time.monotonic()
        return self._tokens

    async def owner(self, secret: str) -> Token | None:
        """Return the token that a client showed, or None when it is wrong.

        Args:
            secret: What came in the `Authorization` header.
        """
        shown = _hash(secret)
        found = None
        for token in await self.tokens():  # all of them, so that the time tells nothing
            if hmac.compare_digest(token.sha256, shown):
                found = token
        return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
