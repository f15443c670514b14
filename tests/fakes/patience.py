"""Waits for what a server sees, which says more than a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true that comes true in another thread."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - no event comes from there
            await anyio.sleep(0.01)
