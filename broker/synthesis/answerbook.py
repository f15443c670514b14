"""The paid answers of one synthesis job: each is on the disk before it is used, and none is asked for twice.

`answers.jsonl` holds three kinds of lines: `{"key", "sent": true}` before a request goes out, the answer with its key
when it has come, and `{"key", "unpaid": true}` when the provider gave none. A key that was sent and has neither was in
flight when the process died: it may have been paid and is asked again; `doubtful` counts these, until an answer comes
that was taken up from the batch in which the request went out. An answer that another job has paid for is taken over
with that job's name under `from`, and costs nothing here.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from anyio import Lock

from broker.jobs.blocking import blocking
from broker.jobs.codec import dump
from broker.jobs.datasets.jsontext import is_object
from broker.jobs.rowfile import RowFile
from broker.providers.contract import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

ANSWERS = "answers.jsonl"
_FROM = "from"
_KEYS = frozenset(Answer.__dataclass_fields__)


class EarlierAnswers:
    """What other jobs have paid for, by key; their files are read where they lie, and an answer when it is wanted."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Look through the files (blocking).

        Args:
            folders: Of the other jobs, named as these are; where several know a key, the first one counts.
        """
        self._places: dict[str, tuple[Path, int]] = {}
        for folder in folders:
            self._index(folder / ANSWERS)

    def _index(self, path: Path) -> None:
        if not path.is_file():
            return
        place = 0
        with path.open("rb") as lines:
            for line in lines:
                key = _answered(line)
                if key is not None:
                    self._places.setdefault(key, (path, place))
                place += len(line)

    def get(self, key: str) -> tuple[str, Answer] | None:
        """Return the job that has paid for an answer, and the answer (blocking).

        Args:
            key: Of the request.
        """
        found = self._places.get(key)
        if found is None:
            return None
        path, place = found
        try:
            with path.open("rb") as file:
                file.seek(place)
                line = file.readline()
        except OSError:  # cleared away meanwhile
            return None
        return (path.parent.name, _answer_of(json.loads(line))) if _answered(line) == key else None


def _answered(line: bytes) -> str | None:
    """Return the key of a line that holds an answer paid for by its job."""
    try:
        row: Any = json.loads(line)
    except ValueError:
        return None
    if not is_object(row) or not line.endswith(b"\n") or _FROM in row or "text" not in row:
        return None
    return str(row["key"])


def _answer_of(row: dict[str, Any]) -> Answer:
    return Answer(**{name: value for name, value in row.items() if name in _KEYS})


@dataclass(slots=True, eq=False)
class _Batch:
    """Lines that are written by one write and one sync."""

    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: BaseException | None = None


class AnswerBook:
    """The answers by key. Many tasks may write at once: their lines share a sync."""

    def __init__(self, folder: Path, earlier: EarlierAnswers | None = None) -> None:
        """Read what is there (blocking).

        Args:
            folder: Of this job alone.
            earlier: What other jobs have paid for.

        Raises:
            StoreError: The file cannot be read.
        """
        self._file = RowFile(folder / ANSWERS)
        self._earlier = earlier or EarlierAnswers()
        self._answers: dict[str, Answer] = {}
        self._taken: set[str] = set()
        self._lock = Lock()
        self._batch = _Batch()
        in_flight: Counter[str] = Counter()
        for line in self._file.read():
            key = line["key"]
            in_flight[key] += 1 if "sent" in line else -int(_FROM not in line)
            if "sent" not in line and "unpaid" not in line:
                self._answers[key] = answer = _answer_of(line)
                if _FROM in line:
                    self._taken.add(key)
                elif answer.taken_up:
                    in_flight[key] = 0
        self._doubts = {key: times for key, times in in_flight.items() if times > 0}

    @property
    def doubtful(self) -> int:
        """Return how many requests of earlier sessions may have been paid without an answer."""
        return sum(self._doubts.values())

    @property
    def paid(self) -> list[Answer]:
        """Return the answers that this job has asked for, good and bad."""
        return [answer for key, answer in self._answers.items() if key not in self._taken]

    @property
    def taken(self) -> int:
        """Return how many answers of other jobs were taken over."""
        return len(self._taken)

    def get(self, key: str) -> Answer | None:
        """Return the answer that was given before."""
        return self._answers.get(key)

    async def take_over(self, key: str) -> Answer | None:
        """Return the answer that another job has paid for, if one has; it is on the disk then, at no cost.

        Args:
            key: Of the request.

        Raises:
            StoreError: The disk refused.
        """
        found = await blocking(self._earlier.get, key)
        if found is None:
            return None
        job, answer = found[0], replace(found[1], cost_usd=0.0)
        await self._write({**dump(answer), "key": key, _FROM: job})
        self._answers[key] = answer
        self._taken.add(key)
        return answer

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
        if answer.taken_up:
            self._doubts.pop(key, None)

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
