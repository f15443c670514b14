"""A faulty Gemini server and a provider before it, both real."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.contract import Answer, CompletionRequest, ProviderContext
from broker.providers.gemini import GeminiProvider, create
from broker.settings import Account
from tests.fakes.gemini_server import Running, running

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = Catalog.load()
CANARY = "AIzaCanary0123456789abcdefghijklmnopqrs"
MODEL = ModelRef(provider="gemini", name="gemini-3.5-flash-lite")


class NoUploads:
    """The ledger of uploads, which this provider does not use: its files have names of their own."""

    async def get(self, sha256: str, purpose: str) -> str | None:
        raise AssertionError((sha256, purpose))

    async def put(self, sha256: str, purpose: str, remote_id: str) -> None:
        raise AssertionError((sha256, purpose, remote_id))

    async def forget(self, remote_id: str) -> None:
        raise AssertionError(remote_id)


@dataclass
class Desk:
    """One account's provider with what a test needs around it."""

    provider: GeminiProvider
    server: Running
    reports: list[tuple[str, int, int]]

    async def ask(self, *texts: str, **request: Any) -> dict[str, Answer]:
        """Ask each text under its own id and return the answers by id; none may come twice."""
        found: dict[str, Answer] = {}
        async for answer in self.provider.completer(MODEL).complete(questions(texts, **request)):
            assert answer.id not in found
            found[answer.id] = answer
        return found

    async def one(self, text: str = "q", **request: Any) -> Answer:
        """Ask one text."""
        (answer,) = (await self.ask(text, **request)).values()
        return answer


def questions(texts: Sequence[str], **request: Any) -> list[CompletionRequest]:
    defaults: dict[str, Any] = {"decoding": Decoding(max_tokens=500)}
    return [
        CompletionRequest(id=text, messages=({"role": "user", "content": text},), **{**defaults, **request})
        for text in texts
    ]


@pytest.fixture(scope="session")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def server(served: Running) -> Iterator[Running]:
    served.clear()
    yield served
    breaches, served.state.breaches[:] = list(served.state.breaches), []
    assert breaches == []


OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def open_desk(server: Running, tmp_path: Path) -> OpenDesk:
    @asynccontextmanager
    async def opened(**options: Any) -> AsyncGenerator[Desk]:
        account: dict[str, Any] = {"base_url": server.url, "api_key": CANARY}
        for name in ("base_url", "api_key", "concurrency", "model"):
            if name in options:
                account[name] = options.pop(name)
        key = account.pop("api_key")
        options = {"grace_s": 0.4, "timeout_s": 5.0, "tries": 3, "first_pause_s": 0.02} | options
        reports: list[tuple[str, int, int]] = []
        async with anyio.create_task_group() as tasks:
            context = ProviderContext(
                name="gemini",
                account=Account(kind="gemini", api_key=SecretStr(key) if key else None, options=options, **account),
                catalog=CATALOG,
                artifacts=Artifacts(tmp_path / "artifacts"),
                uploads=NoUploads(),
                data_dir=tmp_path,
                cache_dir=tmp_path,
                workers=None,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - never used here
                tasks=tasks,
                report=lambda text, done, total: reports.append((text, done, total)),
            )
            provider = create(context)
            try:
                yield Desk(provider=provider, server=server, reports=reports)
            finally:
                await provider.aclose()
                tasks.cancel_scope.cancel()

    return opened
