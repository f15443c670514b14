"""What an op of the torch process gets besides its arguments: a way to tell, and a way to be told to stop.

An op is a function `def op(args: dict[str, Any], session: Session) -> dict[str, Any]`. Arguments, events and result are
plain JSON data. A long op looks at `stop_requested()` between its steps; when it answers, the op saves what it needs
and returns early with `{"stopped": reason, ...}`.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Stop = Literal["pause", "cancel", "shutdown"]
"""Why an op shall stop. `shutdown`: the broker goes away; work that can be continued is saved, nothing is given up."""


class Session:
    """The op's side of one call. Threads may tell it to stop; the op itself runs in one thread."""

    def __init__(self, emit: Callable[[dict[str, Any]], None] | None = None, *, device: str | None = None) -> None:
        """Begin a session.

        Args:
            emit: Receives the events; they are dropped when not given.
            device: `cpu`, `cuda`, `cuda:1`, …; the fastest present when not given.
        """
        self._emit = emit
        self._stop: Stop | None = None
        self._stopping = threading.Event()
        self._notes: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.device_name = device

    def emit(self, event: Mapping[str, Any]) -> None:
        """Send an event to the caller.

        Args:
            event: JSON data with a `kind` (`progress`, `log`, `checkpoint`, `answers`, …).
        """
        if self._emit is not None:
            self._emit(dict(event))

    def log(self, message: str, *, level: str = "info") -> None:
        """Send a log line.

        Args:
            message: For people.
            level: `info` or `warning`.
        """
        self.emit({"kind": "log", "level": level, "message": message})

    def progress(self, done: int, total: int, **more: Any) -> None:
        """Send a progress event.

        Args:
            done: Steps done.
            total: Steps in all.
            more: Anything else to show (loss, stage).
        """
        self.emit({"kind": "progress", "step": done, "total_steps": total, **more})

    def stop_requested(self) -> Stop | None:
        """Return why the op shall stop, or None."""
        return self._stop

    def request_stop(self, reason: Stop) -> None:
        """Tell the op to stop; a cancel is never weakened by what comes later.

        Args:
            reason: Why.
        """
        if self._stop != "cancel":
            self._stop = reason
        self._stopping.set()

    def note(self, note: Mapping[str, Any]) -> None:
        """Tell the op something while it runs.

        Args:
            note: JSON data that the op knows.
        """
        self._notes.put(dict(note))

    def notes(self) -> list[dict[str, Any]]:
        """Return what the op was told since it last asked, in order."""
        return [self._notes.get() for _ in range(self._notes.qsize())]

    def wait_for_stop(self, seconds: float) -> bool:
        """Wait, but no longer than until somebody asks for a stop.

        Args:
            seconds: Longest wait, seconds.

        Returns:
            Whether a stop was requested.
        """
        return self._stopping.wait(seconds)
