"""A broker over the fake provider, whose ledger says how often a job was really made."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import broker.jobs.store as stores
from broker.api import Broker
from broker.jobs.store import open_store
from broker.providers import registry
from broker.providers.fake import FakeRemote
from broker.settings import load_settings
from tests.fakes import scripted

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.records import Job
    from broker.jobs.states import State
    from broker.jobs.store import Store

Opener = Callable[..., AbstractAsyncContextManager[Broker]]


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, Path]:
    """A training and a validation file without common prompts."""
    files = {"train": tmp_path / "train.jsonl", "validation": tmp_path / "validation.jsonl"}
    for (name, path), first in zip(files.items(), (0, 1000), strict=True):
        count = 12 if name == "train" else 4
        lines = [
            _row(f"{name} question {first + 7 * i} about {_WORDS[i % 12]} number {i * i + first}") for i in range(count)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return files


_WORDS = ["oak", "rain", "iron", "bread", "music", "winter", "river", "glass", "paper", "wheel", "honey", "stone"]


def _row(question: str) -> dict[str, Any]:
    answer = {"role": "assistant", "content": "It is what it is."}
    return {"messages": [{"role": "user", "content": question}, answer]}


@pytest.fixture
def open_broker(tmp_path: Path) -> Opener:
    """Open a broker on the test's own folder; options go to the fake account."""

    @asynccontextmanager
    async def opener(
        *, drive: bool = True, settings: dict[str, Any] | None = None, **options: Any
    ) -> AsyncGenerator[Broker]:
        account = {"kind": "fake", "options": options}
        overrides = {
            "data_dir": tmp_path / "data",
            "cache_dir": tmp_path / "cache",
            "providers": {"fake": account},
            **(settings or {}),
        }
        async with Broker(load_settings(overrides=overrides), drive=drive) as broker:
            yield broker

    return opener


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[[], FakeRemote]:
    """Read the fake remote's ledger as it is now."""

    def read() -> FakeRemote:
        remote = FakeRemote(path=tmp_path / "data" / "fake" / "ledger.jsonl")
        remote.close()
        return remote

    return read


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> scripted.Script:
    """Make the fake account misbehave as the test says."""
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "fake": scripted.KIND})
    return scripted.begin()


async def ask(broker: Broker, rows: dict[str, Path], **more: Any) -> Job:
    """Submit a job, judged by metrics that need no torch process: another run on this machine may hold the device."""
    more = {"provider": "fake", "train": rows["train"], "validation": rows["validation"], "metrics": ["length"], **more}
    job: Job = await broker.submit(**more)
    return job


async def tune(broker: Broker, rows: dict[str, Path], **more: Any) -> Job:
    """Submit a job that nobody judges."""
    return await ask(broker, rows, validation=None, metrics=None, **more)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until something is true."""
    with anyio.fail_after(seconds):
        while not await condition():  # noqa: ASYNC110 - it may come true in another process
            await anyio.sleep(0.01)


async def becomes(broker: Broker, job: Job, state: State) -> Job:
    """Wait until a job is in a state; return it as it is then."""

    async def there() -> bool:
        return (await broker.job(job.id)).state is state

    await until(there)
    return await broker.job(job.id)


class StoreGate:
    """The real store; a test may do something around a call."""

    def __init__(self, store: Store) -> None:
        self.real = store
        self.before: dict[str, Callable[..., None]] = {}
        self.after: dict[str, Callable[..., None]] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in self.before:
                self.before[name](*args, **kwargs)
            result = method(*args, **kwargs)
            if name in self.after:
                self.after[name](*args, **kwargs)
            return result

        return call


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> list[StoreGate]:
    """Return the stores that brokers opened in this test, in order, each with its gate."""
    opened: list[StoreGate] = []

    def opener(*args: Any, **kwargs: Any) -> Any:
        opened.append(StoreGate(open_store(*args, **kwargs)))
        return opened[-1]

    monkeypatch.setattr(stores, "open_store", opener)
    return opened
