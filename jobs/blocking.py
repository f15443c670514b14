"""The way from the event loop to blocking calls (the store, files)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

# SQLite has one writer: more threads would only wait for each other.
_THREADS = 4
_limiter: RunVar[CapacityLimiter] = RunVar("broker.jobs.blocking")


async def blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a blocking function in a thread; once started it ends, whatever is cancelled meanwhile.

    Args:
        function: What to call.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Returns:
        What the function returns.
    """
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=limiter)
