"""The paid answers of one synthesis job: each is on the disk before it is used, and none is asked for twice.

`answers.jsonl` holds three kinds of lines: `{"key", "sent": true}` before a request goes out, the answer with its key
when it has come, and `{"key", "unpaid": true}` when the provider gave none. A key that was sent and has neither was in
flight when the process died: it may have been paid and is asked again; `doubtful` counts these.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anyio import Lock

from broker.jobs.blocking import blocking
from broker.jobs.codec import dump
from broker.jobs.rowfile import RowFile
from broker.providers.contract import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ANSWERS = "answers.jsonl"
_KEYS = frozenset(Answer.__dataclass_fields__)


@dataclass(slots=True, eq=False)
class _Batch:
    """Lines that are written by one write and one sync."""

    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: BaseException | None = None


class AnswerBook:
    """The answers by key. Many tasks may write at once: their lines share a sync."""

    def __init__(self, folder: Path) -> None:
        """Read what is there (blocking).

        Args:
            folder: Of this job alone.

        Raises:
            StoreError: The file cannot be read.
        """
        self._file = RowFile(folder / ANSWERS)
        self._answers: dict[str, Answer] = {}
        self._lock = Lock()
        self._batch = _Batch()
        in_flight: Counter[str] = Counter()
        for line in self._file.read():
            key = line["key"]
            in_flight[key] += 1 if "sent" in line else -1
            if "sent" not in line and "unpaid" not in line:
                self._answers[key] = Answer(**{name: value for name, value in line.items() if name in _KEYS})
        self.doubtful = sum(times for times in in_flight.values() if times > 0)

    @property
    def answers(self) -> list[Answer]:
        """Return all answers, good and bad."""
        return list(self._answers.values())

    def get(self, key: str) -> Answer | None:
        """Return the answer that was given before."""
        return self._answers.get(key)

    @property
    def cost_usd(self) -> float:
        """Return what all answers cost, where the price is known."""
        return sum(answer.cost_usd for answer in self._answers.values())

    async def note_sent(self, keys: Iterable[str]) -> None:
        """Write down that requests are about to go out.

        Raises:
            StoreError: The disk refused.
        """
        await self._write(*({"key": key, "sent": True} for key in keys))

    async def note_unpaid(self, key: str) -> None:
        """Write down that the provider gave no answer: it may be asked for again.

        Raises:
            StoreError: The disk refused.
        """
        await self._write({"key": key, "unpaid": True})

    async def keep(self, key: str, answer: Answer) -> None:
        """Store an answer; it is on the disk when this returns.

        Args:
            key: Of the request.
            answer: What came, good or bad.

        Raises:
            StoreError: The disk refused.
        """
        await self._write({**dump(answer), "key": key})
        self._answers[key] = answer

    async def close(self) -> None:
        """Release the file."""
        await blocking(self._file.close)

    async def _write(self, *lines: dict[str, Any]) -> None:
        batch = self._batch
        batch.lines += lines
        async with self._lock:
            if batch is self._batch:  # nobody has taken it along yet
                self._batch = _Batch()
                try:
                    await blocking(self._file.append, batch.lines)
                except BaseException as error:
                    batch.error = error
                    raise
        if batch.error is not None:
            raise batch.error
