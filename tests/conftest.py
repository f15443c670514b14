"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from broker.cli import GC_OBJECTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

# What a developer has set for real work must not reach a test, least of all a key.
FOREIGN = ("OPENAI_", "GEMINI_", "GOOGLE_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


# Several processes share the cores: torch's threads would only wait for each other, and spin meanwhile.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the run settings, data and caches of its own, and none of the developer's keys."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            ours = name.startswith("BROKER_") and not name.startswith("BROKER_TEST_")
            if ours or name.startswith(FOREIGN):
                patch.delenv(name)
        # Hundreds of children import the package; each shall not compile it again.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        # The device lock lies in the temporary folder: one for each test process, so that they do not wait in a queue.
        with tempfile.TemporaryDirectory(prefix="bt-") as folder:
            patch.setenv("TMPDIR", folder)
            patch.setattr(tempfile, "tempdir", folder)
            yield


def _sandbox(ensure_name: str) -> Path:
    """Make a sandbox model in a cache that outlives the run; its folder's name changes with the recipe."""
    from broker.sandbox import making
    from broker.worker.pool import WorkerPool

    cache = Path(os.environ.get("BROKER_TEST_CACHE") or Path.home() / ".cache" / "finetune-broker-tests")
    ensure: Callable[[Path, WorkerPool], Awaitable[Path]] = getattr(making, ensure_name)

    made: list[Path] = []

    async def make() -> None:
        async with anyio.create_task_group() as tasks:
            workers = WorkerPool(cache, tasks)
            try:
                made.append(await ensure(cache, workers))
            finally:
                await workers.aclose()

    anyio.run(make)
    return made[0]


def pytest_collection_finish() -> None:
    """Spare the collector the tests themselves and what they import: with its defaults it takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Make the sandbox models before the first test: a minute of making shall not count as the time of a test."""
    wanted = {name for item in session.items if isinstance(item, pytest.Function) for name in item.fixturenames}
    if not session.config.option.collectonly:
        for fixture, ensure_name in SANDBOX_FIXTURES.items():
            if fixture in wanted:
                _sandbox(ensure_name)
    return (yield)


SANDBOX_FIXTURES = {"sandbox_dir": "ensure_model", "encoder_dir": "ensure_encoder"}


@pytest.fixture(scope="session")
def sandbox_dir() -> Path:
    """Return the folder of the chat model `sandbox`, shared by all runs."""
    return _sandbox("ensure_model")


@pytest.fixture(scope="session")
def encoder_dir() -> Path:
    """Return the folder of the sentence encoder `sandbox-encoder`, shared by all runs."""
    return _sandbox("ensure_encoder")
