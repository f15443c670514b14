"""Tells when one step of the event loop kept all others waiting."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


@dataclass(slots=True)
class Steps:
    """The longest steps of a run.

    Attributes:
        busy_s: Processor time of the longest step, seconds.
        stuck_s: The longest time that a step neither computed nor waited for a processor: it waited for something else.
        busy: The step that computed longest.
        stuck: The step that waited longest.
    """

    busy_s: float = 0.0
    stuck_s: float = 0.0
    busy: str = ""
    stuck: str = ""


def _waited_for_processor_s() -> float:
    return int(_SCHEDSTAT.read_text().split()[1]) / 1e9


@contextmanager
def watched_loop() -> Generator[Steps]:
    """Measure every step of the loops that run meanwhile.

    Other processes on a busy machine do not count: what is measured is the processor time of the loop's own thread, and
    the time in which it could have had a processor but waited for a disk, a lock or a sleep.
    """
    steps = Steps()
    real = asyncio.Handle._run  # pyright: ignore[reportPrivateUsage]

    def run(handle: Any) -> Any:
        began, computed, queued = time.monotonic(), time.thread_time(), _waited_for_processor_s()
        try:
            return real(handle)
        finally:
            computed = time.thread_time() - computed
            stuck = time.monotonic() - began - computed - (_waited_for_processor_s() - queued)
            if computed > steps.busy_s:
                steps.busy_s, steps.busy = computed, repr(handle)
            if stuck > steps.stuck_s:
                steps.stuck_s, steps.stuck = stuck, repr(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", run)
        yield steps
