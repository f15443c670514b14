"""Makes a sandbox model when it is missing: once, however many brokers ask for it at the same time."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import WorkerError
from broker.sandbox.folder import encoder_dir, is_built, model_dir
from broker.worker.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from broker.worker.pool import WorkerPool

_LOOK_AGAIN_S = 0.2


async def ensure_model(
    cache_dir: Path,
    workers: WorkerPool,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    *,
    rebuild: bool = False,
) -> Path:
    """Return the folder of the chat model `sandbox`, made first when it is missing (about a minute on two cores).

    Args:
        cache_dir: The user's cache folder.
        workers: The torch processes.
        on_event: Receives progress: `step`, `total_steps`, `loss`.
        rebuild: Make it anew even if it is there.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        StoreError: The cache cannot be written.
        WorkerError: The torch process failed, or was told to stop.
    """
    return await _ensure(model_dir(cache_dir), "build_sandbox", workers, on_event, rebuild=rebuild)


async def ensure_encoder(
    cache_dir: Path,
    workers: WorkerPool,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    *,
    rebuild: bool = False,
) -> Path:
    """Return the folder of the sentence encoder `sandbox-encoder`, made first when it is missing (some seconds).

    Args:
        cache_dir: The user's cache folder.
        workers: The torch processes.
        on_event: Receives progress: `step`, `total_steps`, `loss`.
        rebuild: Make it anew even if it is there.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        StoreError: The cache cannot be written.
        WorkerError: The torch process failed, or was told to stop.
    """
    return await _ensure(encoder_dir(cache_dir), "build_sandbox_encoder", workers, on_event, rebuild=rebuild)


async def _ensure(
    folder: Path,
    op: str,
    workers: WorkerPool,
    on_event: Callable[[dict[str, Any]], None] | None,
    *,
    rebuild: bool,
) -> Path:
    if is_built(folder) and not rebuild:
        return folder
    async with _alone(folder):
        if rebuild or not is_built(folder):  # somebody else may have made it while we waited
            await anyio.to_thread.run_sync(_sweep, folder)
            result = await workers.call(op, {"folder": str(folder)}, on_event=on_event)
            if "stopped" in result:
                raise WorkerError("the making was stopped; nothing was kept", kind="stopped", where=str(folder))
    return folder


@asynccontextmanager
async def _alone(folder: Path) -> AsyncGenerator[None]:
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    while not lock.acquire():  # noqa: ASYNC110 - another process frees it; no event can say so
        await anyio.sleep(_LOOK_AGAIN_S)
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove drafts that a killed process left; the lock says that nobody works on them."""
    for draft in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(draft, ignore_errors=True)
