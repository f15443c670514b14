"""The SDK's clients of one account, and the two ways of calling: reads may be repeated, creating calls never are."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

from broker.errors import MissingCredentialError
from broker.gateway import Gate, Limits, Patience, Reply, read_headers
from broker.providers.foreign_json import MalformedAnswerError, json_object
from broker.providers.openai_tuning.faults import Reader, judge
from broker.providers.secrecy import Censor
from broker.providers.verdicts import host_of

if TYPE_CHECKING:
    import ssl

    from openai import HttpxBinaryResponseContent
    from openai._legacy_response import LegacyAPIResponse

    from broker.settings import Account

OFFICIAL_URL = "https://api.openai.com/v1"
_CONNECT_S = 10.0
_READ_S = 60.0
_UPLOAD_S = 600.0
# Sent when a server other than OpenAI's wants no key: the SDK insists on one.
_NO_KEY = "no-key"

# What the SDK and a broken answer raise; everything else is a mistake of ours.
FOREIGN = (openai.OpenAIError, httpx2.HTTPError, TimeoutError, json.JSONDecodeError, MalformedAnswerError)

Raw = Callable[[AsyncOpenAI], Awaitable["LegacyAPIResponse[Any]"]]


class Connection:
    """One account's clients, its gate, and its reader of errors."""

    def __init__(self, account: Account, *, closed: str = "") -> None:
        """Keep the account; nothing is opened yet.

        Args:
            account: Base URL, key, organization, project, options.
            closed: What the service announced about tuning.
        """
        self._account = account
        self._key = account.api_key.get_secret_value() if account.api_key else ""
        self.base_url = (account.base_url or OFFICIAL_URL).rstrip("/")
        self.host = host_of(self.base_url)
        self.reader = Reader(censor=Censor([self._key]), host=self.host, closed=closed)
        self.timeout_s = float(account.options.get("timeout_s", _READ_S))
        self._tries = int(account.options.get("tries", 6))
        self._first_pause_s = float(account.options.get("first_pause_s", 0.5))
        self.gate = Gate(judge, Limits(concurrency=16), self.patience(600.0))
        self._clients: dict[str, AsyncOpenAI] = {}

    def patience(self, limited_s: float) -> Patience:
        """Return how long the account's calls go on.

        Args:
            limited_s: Seconds for which nothing but 429s is borne.
        """
        return Patience(tries=self._tries, first_s=self._first_pause_s, limited_s=limited_s)

    @property
    def official(self) -> bool:
        """Say whether this is OpenAI's own service."""
        return self.host.removesuffix(":443").endswith("api.openai.com")

    @property
    def local(self) -> bool:
        """Say whether this is a server on the same machine."""
        return (urlsplit(self.base_url).hostname or "") in {"localhost", "127.0.0.1", "::1"}

    @property
    def has_key(self) -> bool:
        """Say whether a key is set."""
        return bool(self._key)

    @property
    def client(self) -> AsyncOpenAI:
        """Return the client for everything that may be repeated."""
        return self._client("reading", httpx2.Limits(max_connections=256, max_keepalive_connections=64))

    @property
    def creator(self) -> AsyncOpenAI:
        """Return the client for creating calls.

        It opens a connection for each call: on a kept one that the server has just closed, nobody could tell whether
        the request arrived.
        """
        return self._client("creating", httpx2.Limits(max_connections=16, max_keepalive_connections=0))

    @property
    def answering(self) -> AsyncOpenAI:
        """Return the client for chat completions: as many connections as are asked for, all kept.

        With aiohttp installed, the SDK's own aiohttp transport: half the processor time of a request (measured: 1.0 ms
        against 1.8 ms). Never for creating calls.
        """
        return self._client("answering", httpx2.Limits(max_connections=None, max_keepalive_connections=None))

    async def read(self, call: Raw, where: str) -> dict[str, Any]:
        """Send a call that may be repeated until it is answered with a JSON object.

        Args:
            call: The SDK's call with its raw response.
            where: What is being done, for messages.

        Raises:
            ProviderError: No retry mended it.
        """

        async def send() -> Reply[dict[str, Any]]:
            with anyio.fail_after(self.timeout_s * 2):
                response = await call(self.client)
            return Reply(value=json_object(response.http_response.content), seen=read_headers(response.headers))

        try:
            return await self.gate.call(send)
        except FOREIGN as error:
            raise self.reader.raised(error, where=where) from None

    async def create(self, call: Raw, where: str, *, upload: bool = False) -> dict[str, Any]:
        """Send a creating call exactly once.

        Args:
            call: The SDK's call with its raw response.
            where: What is being done, for messages.
            upload: The call carries a file: more time.

        Raises:
            OutcomeUnknownError: It may have arrived.
            ProviderError: Certainly nothing was created.
        """
        limit_s = _UPLOAD_S if upload else self.timeout_s * 2

        async def send() -> Reply[dict[str, Any]]:
            with anyio.fail_after(limit_s):
                response = await call(self.creator)
            return Reply(value=json_object(response.http_response.content), seen=read_headers(response.headers))

        try:
            return await self.gate.once(send)
        except FOREIGN as error:
            raise self.reader.raised(error, creating=True, where=where) from None

    async def content(self, file_id: str, where: str) -> bytes:
        """Return the content of a file.

        Args:
            file_id: The remote file.
            where: What is being done, for messages.
        """

        async def send() -> Reply[bytes]:
            found: HttpxBinaryResponseContent = await self.client.files.content(file_id, timeout=_UPLOAD_S)
            return Reply(value=found.content)

        try:
            return await self.gate.call(send)
        except FOREIGN as error:
            raise self.reader.raised(error, where=where) from None

    async def aclose(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _client(self, use: str, limits: httpx2.Limits) -> AsyncOpenAI:
        if use not in self._clients:
            self._clients[use] = self._open(limits, aio=use == "answering" and find_spec("aiohttp") is not None)
        return self._clients[use]

    def _open(self, limits: httpx2.Limits, *, aio: bool) -> AsyncOpenAI:
        if not self._key and self.official:
            fix = "export OPENAI_API_KEY=…, or give base_url for another service"
            raise MissingCredentialError("OpenAI needs an API key and none is set", fix=fix)
        timeout = httpx2.Timeout(self.timeout_s, connect=_CONNECT_S)
        transport = DefaultAioHttpClient if aio else DefaultAsyncHttpxClient
        client = AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=transport(limits=limits, timeout=timeout, verify=_tls()),
        )
        # Set here, since the constructor takes a missing one from the environment: another account's, perhaps.
        client.organization = self._account.organization
        client.project = self._account.project
        return client


@cache
def _tls() -> ssl.SSLContext:
    """Return the process's one TLS context: reading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()
