"""A broker over the fake provider, whose ledger says how often a job was really made."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from broker.api import Broker
from broker.providers.fake import FakeRemote
from broker.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

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
    return lambda: FakeRemote(path=tmp_path / "data" / "fake" / "ledger.jsonl")
