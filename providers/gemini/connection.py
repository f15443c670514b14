"""The SDK's client of one account, and the two ways of calling: reads may be repeated, creating calls never are.

The SDK chooses its own transport: aiohttp where that is installed, else httpx2. With aiohttp and no retry options it
sends a request again whose connection broke (3.4.0, `_async_request_once`); options of one attempt switch that off, so
that on both transports one call is one request, and only the gateway repeats. A creating call gets a client of its own:
on a kept connection that the server has just closed, nobody could tell whether the request arrived.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from google import genai
from google.genai import types
from google.genai.client import AsyncClient

from broker.errors import MissingCredentialError
from broker.gateway import Gate, Limits, Patience, Reply
from broker.providers.gemini.faults import FOREIGN, Reader, judge
from broker.providers.secrecy import Censor
from broker.providers.verdicts import host_of

if TYPE_CHECKING:
    from broker.settings import Account

T = TypeVar("T")
OFFICIAL_URL = "https://generativelanguage.googleapis.com"
# Batches and `responseJsonSchema` are documented there; the SDK's own default moves.
API_VERSION = "v1beta"
_READ_S = 60.0
_ANSWER_S = 120.0
UPLOAD_S = 600.0
# Sent when a server other than Google's wants no key: the SDK insists on one.
_NO_KEY = "no-key"

Call = Callable[[AsyncClient], Awaitable[T]]


class Connection:
    """One account's client, its gate, and its reader of errors."""

    def __init__(self, account: Account, *, instead: Callable[[str], tuple[str, ...]]) -> None:
        """Keep the account; nothing is opened yet.

        Args:
            account: Base URL, key, options.
            instead: Returns living models to use in place of one that is gone.
        """
        options = account.options
        self._key = account.api_key.get_secret_value() if account.api_key else ""
        self.version = str(options.get("api_version") or API_VERSION)
        self.base_url = (account.base_url or OFFICIAL_URL).rstrip("/").removesuffix(f"/{self.version}")
        self.host = host_of(self.base_url)
        self.reader = Reader(censor=Censor([self._key]), host=self.host, instead=instead)
        self.timeout_s = float(options.get("timeout_s", _READ_S))
        self.answer_s = float(options.get("answer_timeout_s", _ANSWER_S))
        self._tries = int(options.get("tries", 6))
        self._first_pause_s = float(options.get("first_pause_s", 0.5))
        self.gate = Gate(judge, Limits(concurrency=16), self.patience(600.0))
        self._kept: genai.Client | None = None
        self._opening = anyio.Lock()

    def patience(self, limited_s: float) -> Patience:
        """Return how long the account's calls go on.

        Args:
            limited_s: Seconds for which nothing but 429s is borne.
        """
        return Patience(tries=self._tries, first_s=self._first_pause_s, limited_s=limited_s)

    @property
    def official(self) -> bool:
        """Say whether this is Google's own service."""
        return self.base_url == OFFICIAL_URL

    @property
    def has_key(self) -> bool:
        """Say whether a key is set."""
        return bool(self._key)

    def require_key(self) -> None:
        """Make sure that there is a key where one is needed.

        Raises:
            MissingCredentialError: Google's service is meant, and there is no key.
        """
        if not self._key and self.official:
            fix = "export GEMINI_API_KEY=…, or give base_url for another service"
            raise MissingCredentialError("Gemini needs an API key and none is set", fix=fix)

    async def client(self) -> AsyncClient:
        """Return the client for everything that may be repeated. It is kept: a forgotten one closes in mid-call."""
        if self._kept is None:
            async with self._opening:
                self._kept = self._kept or await self._made()
        return self._kept.aio

    async def read(self, call: Call[T], where: str, *, limit_s: float | None = None) -> T:
        """Send a call that may be repeated until it is answered.

        Args:
            call: Calls the SDK.
            where: What is being done, for messages.
            limit_s: Longest time for one try; the account's when None.

        Raises:
            ProviderError: No retry mended it.
        """
        client = await self.client()

        async def send() -> Reply[T]:
            with anyio.fail_after(limit_s or self.timeout_s):
                return Reply(value=await call(client))

        try:
            return await self.gate.call(send)
        except FOREIGN as error:
            raise self.reader.raised(error, where=where) from None

    async def create(self, call: Call[T], where: str) -> T:
        """Send a creating call exactly once, over a connection of its own.

        Args:
            call: Calls the SDK.
            where: What is being done, for messages.

        Raises:
            OutcomeUnknownError: It may have arrived.
            ProviderError: Certainly nothing was created.
        """
        own = await self._made()

        async def send() -> Reply[T]:
            with anyio.fail_after(self.answer_s):
                return Reply(value=await call(own.aio))

        try:
            return await self.gate.once(send)
        except FOREIGN as error:
            raise self.reader.raised(error, creating=True, where=where) from None
        finally:
            with anyio.CancelScope(shield=True):
                await _close(own)

    async def aclose(self) -> None:
        """Close the client."""
        if self._kept is not None:
            closing, self._kept = self._kept, None
            await _close(closing)

    async def _made(self) -> genai.Client:
        """Return a new client; in a thread, since it reads the machine's certificates."""
        self.require_key()
        _quieten()
        options = types.HttpOptions(
            base_url=self.base_url,
            api_version=self.version,
            timeout=int(self.answer_s * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        # All told here, since the constructor would take what is missing from the environment.
        make = partial(genai.Client, vertexai=False, api_key=self._key or _NO_KEY, http_options=options)
        return await anyio.to_thread.run_sync(make)


def _quieten() -> None:
    """Keep the SDK from writing to the terminal about what is read and told here: odd words, two keys in sight."""
    warnings.filterwarnings("ignore", message=".* is not a valid ", module=r"google\.genai\._common")
    warnings.filterwarnings("ignore", message="Inheritance class AiohttpClientSession", category=DeprecationWarning)
    logging.getLogger("google_genai").setLevel(logging.ERROR)


async def _close(client: genai.Client) -> None:
    await client.aio.aclose()
    client.close()
