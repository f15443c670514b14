"""A faulty OpenAI server and a provider before it, both real."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.ids import new_intent_key
from broker.jobs.records import Handle, Intent
from broker.jobs.spec import DatasetRef, Method, RowFormat, TuneSpec
from broker.providers.contract import ProviderContext
from broker.providers.openai_tuning import OpenAIProvider, create
from broker.settings import Account
from tests.fakes.openai_server import Running, running

CATALOG = Catalog.load()
CANARY = "sk-canary-0123456789abcdefghij"


@dataclass
class Ledger:
    """An upload ledger in memory."""

    held: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    async def get(self, sha256: str, purpose: str) -> str | None:
        return self.held.get((sha256, purpose))

    async def put(self, sha256: str, purpose: str, remote_id: str) -> None:
        self.held[sha256, purpose] = remote_id

    async def forget(self, remote_id: str) -> None:
        self.held = {key: value for key, value in self.held.items() if value != remote_id}


@dataclass
class Desk:
    """One account's provider with what a test needs around it."""

    provider: OpenAIProvider
    server: Running
    artifacts: Artifacts
    ledger: Ledger
    reports: list[tuple[str, int, int]]

    def data(self, rows: int = 12, *, format: RowFormat = RowFormat.CHAT, name: str = "train.jsonl") -> DatasetRef:
        lines = [json.dumps(_row(number, format)) for number in range(rows)]
        content = ("\n".join(lines) + "\n").encode()
        sha256 = self.artifacts.put_bytes(content)
        assert sha256 == hashlib.sha256(content).hexdigest()
        return DatasetRef(
            sha256=sha256, name=name, format=format, rows=rows, bytes=len(content), tokens=rows * 20, longest_tokens=30
        )

    def spec(self, **changes: Any) -> TuneSpec:
        values: dict[str, Any] = {
            "provider": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "train": self.data(format=RowFormat.PREFERENCE if changes.get("method") is Method.DPO else RowFormat.CHAT),
        }
        return TuneSpec(**(values | changes))

    async def create(self, intent: Intent) -> Handle:
        await self.provider.prepare(intent)
        return await self.provider.submit(intent)

    def file_id(self) -> str:
        """Return the id of the only file."""
        (file_id,) = self.server.state.files
        return file_id

    def next_id(self, prefix: str) -> str:
        """Return the id that the server will make next."""
        made = self.server.state.new_id(prefix)
        self.server.state.serial -= 1
        return made

    def intent(self, **changes: Any) -> Intent:
        return Intent(
            key=new_intent_key(), job_id="tune-test", attempt=1, spec=self.spec(**changes), created_at=datetime.now(UTC)
        )


def _row(number: int, format: RowFormat) -> dict[str, Any]:
    user = {"role": "user", "content": f"question {number}"}
    if format is RowFormat.CHAT:
        return {"messages": [user, {"role": "assistant", "content": f"answer {number}"}]}
    good, bad = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
    return {"input": {"messages": [user]}, "preferred_output": [good], "non_preferred_output": [bad]}


@pytest.fixture(scope="session")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def server(served: Running) -> Running:
    served.clear()
    return served


OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def open_desk(server: Running, tmp_path: Path) -> OpenDesk:
    artifacts, ledger = Artifacts(tmp_path / "artifacts"), Ledger()

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncGenerator[Desk]:
        base_url = options.pop("base_url", server.base_url)
        key = options.pop("api_key", CANARY)
        account = {name: options.pop(name) for name in ("organization", "project", "concurrency") if name in options}
        options = {"grace_s": 0.4, "timeout_s": 2.0, "tries": 3, "first_pause_s": 0.02} | options
        reports: list[tuple[str, int, int]] = []
        async with anyio.create_task_group() as tasks:
            context = ProviderContext(
                name="openai",
                account=Account(
                    kind="openai",
                    base_url=base_url,
                    api_key=SecretStr(key) if key else None,
                    options=options,
                    **account,
                ),
                catalog=CATALOG,
                artifacts=artifacts,
                uploads=ledger,
                data_dir=tmp_path,
                cache_dir=tmp_path,
                workers=None,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - never used here
                tasks=tasks,
                report=lambda text, done, total: reports.append((text, done, total)),
            )
            provider = create(context)
            try:
                yield Desk(provider=provider, server=server, artifacts=artifacts, ledger=ledger, reports=reports)
            finally:
                await provider.aclose()
                tasks.cancel_scope.cancel()

    return opened
