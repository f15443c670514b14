r"""How rows flow: steps, what they work with, and how many rows are on their way at once.

A step is a function from rows to rows, both asynchronous. Most steps look at one row: `each` makes a step of such a
function and runs it for many rows at once, in order. A pipeline of one's own takes ten lines:

```python
from broker.synthesis import Pipeline, each


@each
async def riddle(row, bench):
    told = await bench.ask(row, "Write a riddle about this, and nothing else:\n\n{text}")
    return row.having(question=told, answer=row.source["title"])


pipeline = Pipeline(name="riddles", steps=lambda options: [riddle])
```
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import BrokenResourceError, CapacityLimiter, Event, create_memory_object_stream, move_on_after, to_thread
from anyio.abc import TaskGroup

from broker.errors import BrokerError, MissingExtraError
from broker.evaluation.metrics import Workers
from broker.synthesis.asking import Asker
from broker.synthesis.prompting import Prompt
from broker.synthesis.rows import RejectedError, Rejection, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.streams.memory import MemoryObjectSendStream


T = TypeVar("T")
Step = Callable[[AsyncIterator[Row], "Bench"], AsyncIterator[Row]]
RowFunction = Callable[[Row, "Bench"], Awaitable[Row | None]]

# Rows on their way at once: enough for any limit at some seconds an answer, and few enough that little is left over.
WINDOW = 256
# Asked together of a local model; and by a Batch API, where each wave may take a day: as many as are wanted.
WAVE_WINDOW = 2048
BATCH_WINDOW = 50_000
# What is not one word is a prompt itself.
_NAME = re.compile(r"[\w.-]+")
# Nothing has moved for so long: whatever is on its way will not come.
_STUCK_S = 1.0
# What is taken for the share of rows that come through, until as many have ended as tell more.
_PRIOR, _PRIOR_ROWS = 0.8, 20


@dataclass(slots=True, kw_only=True)
class Bench:
    """What a step works with.

    Attributes:
        asker: Asks the model.
        prompts: Prompt files by name.
        options: Of the pipeline.
        seed: Of the job.
        target: Rows wanted.
        tasks: Where rows are worked on.
        workers: The torch processes, for encoders.
        encoder: What to load as the sentence encoder.
        window: Most rows on their way.
        requests_per_row: What a row may need; with a budget no more rows set out than it carries to their end.
        rejected: Rows that were not good enough.
        reasons: How many of them, by reason.
        accepted: Rows that came through.
        arrival: Place of each row in the order of the sources, by id.
        over: Set when enough rows came through, or no more can come.
    """

    asker: Asker
    prompts: Mapping[str, Prompt]
    options: Mapping[str, Any]
    seed: int
    target: int
    tasks: TaskGroup
    workers: Workers | None = None
    encoder: str = ""
    window: int = WINDOW
    requests_per_row: int = 1
    rejected: list[Rejection] = field(default_factory=list[Rejection])
    reasons: Counter[str] = field(default_factory=Counter[str])
    accepted: list[Row] = field(default_factory=list[Row])
    arrival: dict[str, int] = field(default_factory=dict[str, int])
    over: Event = field(default_factory=Event)
    changed: Callable[[], None] = lambda: None
    _under_way: int = 0
    _working: int = 0
    _moved: Event = field(default_factory=Event)
    _computing: CapacityLimiter = field(default_factory=partial(CapacityLimiter, 1))

    # --- for steps ----------------------------------------------------------------------------------------------------

    async def ask(self, row: Row, prompt: str, *, schema: Mapping[str, Any] | None = None, **values: Any) -> Any:
        """Ask the model for a row.

        Args:
            row: Whom it is for; its values fill the prompt's places.
            prompt: Name of a prompt file, or the prompt itself.
            schema: JSON schema that the answer must fit, if any.
            values: Further values for the places.

        Returns:
            The text, or with a schema the JSON value.

        Raises:
            RejectedError: There is no usable answer, however often it was asked for.
            LookupError: It is the name of a prompt file that the pipeline does not declare.
        """
        if prompt not in self.prompts and _NAME.fullmatch(prompt):
            raise LookupError(f"no prompt is called {prompt!r}: declare it with Pipeline(…, prompts=({prompt!r},))")
        text = self.prompts.get(prompt) or Prompt(name=_name_of(prompt), text=prompt)
        return await self.asker.ask(row, text, schema, {**row.data, **values})

    async def embed(self, texts: Sequence[str]) -> Any:
        """Return the texts' vectors, a float32 array [n, d] of length 1 each.

        Raises:
            MissingExtraError: There is no worker process to run an encoder in.
        """
        import numpy as np

        if self.workers is None or not self.encoder:
            fix = "pip install 'finetune-broker[local,similarity]'"
            raise MissingExtraError("de-duplication needs a sentence encoder", fix=fix)
        reply = await self.workers.call("embed", {"model": self.encoder, "texts": list(texts)})
        vectors = np.asarray(reply.get("vectors", []), dtype=np.float32)
        if len(vectors) != len(texts):
            raise BrokerError(f"the encoder returned {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    async def compute(self, function: Callable[[str], T], text: str) -> T:
        """Call a function that computes on a text in a thread: one at a time, since more only keep requests waiting.

        Args:
            function: Pure Python; it holds the interpreter.
            text: Its argument.
        """
        return await to_thread.run_sync(function, text, limiter=self._computing)

    def random(self, *parts: object) -> Random:
        """Return a source of chance that depends on the job's seed and these parts alone."""
        return Random("/".join(map(str, (self.seed, *parts))))

    def reject(self, row: Row, reason: str, detail: str = "") -> None:
        """Count a row as not good enough; steps of one row raise `RejectedError` instead.

        Args:
            row: As it is now.
            reason: A short word by which rejections are counted.
            detail: What was found, for people.
        """
        self.rejected.append(Rejection(row=row, reason=reason, detail=detail))
        self.reasons[reason] += 1
        self._left(row)

    # --- for the flow -------------------------------------------------------------------------------------------------

    def accept(self, row: Row) -> None:
        """Take a row that came through."""
        self.accepted.append(row)
        self._left(row)
        if len(self.accepted) >= self.target:
            self.over.set()

    async def admitted(self, rows: AsyncIterator[Row]) -> AsyncGenerator[Row, None]:
        """Yield source rows as there is room for them, until the work is over."""
        async for row in rows:
            while not self._has_room():
                with move_on_after(_STUCK_S) as patience:
                    await self._moved.wait()
                if patience.cancelled_caught and not self._working:
                    break  # a step has kept rows back without a word: others may still come through
            if self.asker.broke.is_set():
                return
            self._under_way += 1
            self.arrival[row.id] = len(self.arrival)
            yield row

    def _has_room(self) -> bool:
        return self._under_way < self._wanted()

    def _wanted(self) -> int:
        """Return how many rows should be on their way: as many as it takes for those that are missing, and no more."""
        ended = len(self.accepted) + len(self.rejected)
        share = (len(self.accepted) + _PRIOR * _PRIOR_ROWS) / (ended + _PRIOR_ROWS)
        missing = self.target - len(self.accepted)
        # With little money left few rows are begun, so that those can be brought to their end.
        affordable = max(1.0, self.asker.reach() / self.requests_per_row)
        return int(min(self.window, ceil(missing / share) + 2, affordable))

    def _left(self, row: Row) -> None:
        self._under_way -= row.id in self.arrival  # a source may ask for what it needs before any row sets out
        self.stir()
        self.changed()

    def stir(self) -> None:
        """Wake whoever waits for something to change."""
        moved, self._moved = self._moved, Event()
        moved.set()
        self.asker.poke()

    def settled(self) -> bool:
        """Say whether no row can go on without an answer that waits for its wave."""
        return bool(self.asker.waiting) and self._working <= len(self.asker.waiting) + self.asker.short

    def begin(self, function: RowFunction, row: Row) -> Slot:
        """Begin to work on a row; return its place in the order."""
        slot = Slot()
        self._working += 1
        self.tasks.start_soon(self._work, function, row, slot)
        return slot

    async def _work(self, function: RowFunction, row: Row, slot: Slot) -> None:
        try:
            slot.row = await function(row, self)
            if slot.row is None:
                self.reject(row, "dropped", "the step returned no row")
        except RejectedError as error:
            self.reject(row, error.reason, error.detail)
        finally:
            self._working -= 1
            slot.done.set()
            self.stir()


@dataclass(slots=True, eq=False)
class Slot:
    """The place of a row in the order."""

    row: Row | None = None
    done: Event = field(default_factory=Event)


def each(function: RowFunction) -> Step:
    """Make a step of a function of one row; many rows are worked on at once and come out in order.

    Args:
        function: `async (row, bench) -> row`; raises `RejectedError` for a row that is not good enough.
    """

    async def step(rows: AsyncIterator[Row], bench: Bench) -> AsyncIterator[Row]:
        send, receive = create_memory_object_stream[Slot](inf)
        bench.tasks.start_soon(_feed, function, rows, bench, send)
        with receive:
            async for slot in receive:
                await slot.done.wait()
                if slot.row is not None:
                    yield slot.row

    return step


async def _feed(
    function: RowFunction, rows: AsyncIterator[Row], bench: Bench, send: MemoryObjectSendStream[Slot]
) -> None:
    with send:
        async with aclosing(cast("AsyncGenerator[Row, None]", rows)):
            async for row in rows:
                with suppress(BrokenResourceError):  # the work is over, and nobody takes rows any more
                    send.send_nowait(bench.begin(function, row))


async def blocks(rows: AsyncIterator[Row], bench: Bench, most: int) -> AsyncGenerator[list[Row], None]:
    """Yield rows in blocks of what has come meanwhile, for steps that work faster on many.

    Args:
        rows: From the step before.
        bench: Its tasks read ahead.
        most: Largest block.
    """
    send, receive = create_memory_object_stream[Row](inf)
    bench.tasks.start_soon(_read_ahead, rows, send)
    with receive:
        async for row in receive:
            block = [row]
            while len(block) < most and receive.statistics().current_buffer_used:
                block.append(receive.receive_nowait())
            yield block


async def _read_ahead(rows: AsyncIterator[Row], send: MemoryObjectSendStream[Row]) -> None:
    with send:
        async with aclosing(cast("AsyncGenerator[Row, None]", rows)):
            async for row in rows:
                with suppress(BrokenResourceError):
                    send.send_nowait(row)


def _name_of(prompt: str) -> str:
    return " ".join(prompt.split())[:24]
