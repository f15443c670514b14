"""Asks a model by batches: half the price, within a day. Picks up where it stopped, and asks live what failed.

Never paid twice: a batch is written down before it is sent, its key travels with it, and after a doubt the account's
batches are searched for the key until the send is older than the grace time; only then is it sent once more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from broker.errors import BrokerError, OutcomeUnknownError, ProviderError, UnavailableError
from broker.jobs.artifacts import Artifacts
from broker.jobs.blocking import blocking
from broker.providers.batchbook import Book, Line, Record, parcels
from broker.providers.contract import Answer, Completer, CompletionRequest, ProviderContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

_MOST_SENDS = 2
_LOOK_MOST_S = 10.0
# Once a round had so many rows, a later one of less than this share of the largest is asked live.
_LARGE, _LEAST_SHARE = 200, 0.05
# A listing is searched back to this long before a batch was planned: clocks differ.
CLOCKS_S = 2 * 86400.0

Ended = TypeVar("Ended")


class Service(Protocol[Ended]):
    """The batches of one account and one model."""

    def line(self, request: CompletionRequest) -> Line:
        """Return a request as a row of a batch."""
        ...

    def mark(self, record: Record) -> str:
        """Say what a person has to look for among the account's batches."""
        ...

    async def prepare(self, record: Record) -> str:
        """Do what may be done again without harm (upload the rows), and say where they are."""
        ...

    async def create(self, record: Record, source: str) -> str:
        """Make the batch, once, and return its id.

        Raises:
            OutcomeUnknownError: Nobody knows whether it arrived.
            ProviderError: Certainly nothing was made.
        """
        ...

    async def listed(self, record: Record) -> str | None:
        """Return the id of the batch that has the record's key, if the account lists one."""
        ...

    async def ended(self, record: Record) -> Ended | None:
        """Wait for the end of a batch; None when it is gone or has no results at all."""
        ...

    def results(self, batch: Ended, wanted: Mapping[str, Line]) -> AsyncIterator[tuple[str, Answer]]:
        """Yield the answers of the wanted rows, by the id of the row; those that failed are left out."""
        ...


@dataclass(frozen=True, slots=True)
class Most:
    """What a service takes in one batch.

    Attributes:
        rows: Most rows.
        bytes: Largest input.
    """

    rows: int
    bytes: int


@dataclass(slots=True, kw_only=True)
class BatchCompleter:
    """Asks one model by batches.

    Attributes:
        model: Its name.
        service: The account's batches.
        live: Asks what a batch failed to answer.
        tasks: Where the asking runs.
        artifacts: Holds the rows of the batches here.
        book: What is known about earlier batches.
        grace_s: How long a created batch may stay invisible in the listing, seconds.
        most_rows: Most rows of a batch.
        most_bytes: Largest input of a batch.
        report: Shows progress: (text, done, total).
        largest: Rows of the largest round so far.
    """

    model: str
    service: Service[Any]
    live: Completer
    tasks: TaskGroup
    artifacts: Artifacts
    book: Book
    grace_s: float
    most_rows: int
    most_bytes: int
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None
    largest: int = field(default=0, init=False)

    @classmethod
    def of(
        cls,
        context: ProviderContext,
        *,
        model: str,
        service: Service[Any],
        live: Completer,
        grace_s: float,
        limits: Most,
    ) -> BatchCompleter:
        """Return what asks a model by the batches of an account.

        Args:
            context: Of the account.
            model: The model's name.
            service: The account's batches.
            live: Asks what a batch failed to answer.
            grace_s: How long a created batch may stay invisible in the listing, seconds.
            limits: Of one batch; the account's option `batch_rows` may lower its rows.
        """
        return cls(
            model=model,
            service=service,
            live=live,
            tasks=context.tasks,
            artifacts=context.artifacts,
            book=Book.of(context.data_dir, context.name),
            grace_s=grace_s,
            most_rows=int(context.account.options.get("batch_rows", limits.rows)),
            most_bytes=limits.bytes,
            report=context.report,
        )

    def worth(self, rows: int) -> bool:
        """Say whether so many rows are worth a batch: of a large work the last few are not, which may take a day.

        Args:
            rows: Of one round.
        """
        self.largest = max(self.largest, rows)
        return self.largest < _LARGE or rows >= self.largest * _LEAST_SHARE

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request as batches end; rows that failed in a batch, or are few, are asked live.

        Args:
            requests: The prompts.

        Raises:
            ProviderError: A batch can be neither made nor settled; rows under way will be found again.
        """
        send, receive = anyio.create_memory_object_stream[Answer](math.inf)
        round_ = _Round(completer=self, requests={request.id: request for request in requests}, send=send)
        with receive:
            await round_.plan()
            self.tasks.start_soon(round_.run)
            try:
                async for answer in receive:
                    yield answer
                if round_.error is not None:
                    raise round_.error
            finally:
                round_.scope.cancel()

    async def aclose(self) -> None:
        """Have nothing to release; batches go on at the account."""


@dataclass(slots=True)
class _Round:
    """One call of `complete`."""

    completer: BatchCompleter
    requests: dict[str, CompletionRequest]
    send: MemoryObjectSendStream[Answer]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    records: list[Record] = field(default_factory=list[Record])
    error: BrokerError | None = None
    open: dict[str, Line] = field(default_factory=dict[str, Line])
    # Keys of the batches that an earlier round planned.
    earlier: frozenset[str] = frozenset()

    async def plan(self) -> None:
        """Find the batches that hold rows of this round already, and write down new ones for the rest."""
        try:
            await self._plan()
        except BaseException:
            self.send.close()
            raise

    async def _plan(self) -> None:
        me = self.completer
        lines = [me.service.line(request) for request in self.requests.values()]
        self.open = {one.id: one for one in lines}
        self.records = await blocking(me.book.holding, me.model, list(self.open))
        self.earlier = frozenset(record.key for record in self.records)
        under_way = {row for record in self.records for row in record.rows}
        fresh = [one for one in lines if one.id not in under_way]
        if me.worth(len(fresh)):
            await self._write_down(fresh)

    async def _write_down(self, fresh: Iterable[Line]) -> None:
        me = self.completer
        for parcel in parcels(fresh, most_rows=me.most_rows, most_bytes=me.most_bytes):
            sha256 = await blocking(me.artifacts.put_lines, [one.text for one in parcel])
            self.records.append(await blocking(me.book.add, me.model, parcel, sha256))

    async def run(self) -> None:
        """Follow the batches to their ends, then ask live what they left."""
        with self.scope, self.send:
            async with anyio.create_task_group() as tasks:
                for record in self.records:
                    tasks.start_soon(self._follow, record)
            try:
                await self._ask_live()
            except BrokerError as error:
                self.error = error

    async def _follow(self, record: Record) -> None:
        """Bring one batch to its end and yield its answers; what it does not answer stays open."""
        service = self.completer.service
        try:
            record = await self._made(record)
            batch = await service.ended(record)
            if batch is None:
                await blocking(self.completer.book.drop, record)
                return
            async for row_id, answer in service.results(batch, self.open):
                self._take(record, row_id, answer)
        except BrokerError as error:
            self.error = self.error or error

    def _take(self, record: Record, row_id: str, answer: Answer) -> None:
        """Yield an answer. One that was no good in an earlier round is asked live now: somebody wants another."""
        again = answer.failure is not None and record.key in self.earlier
        if row_id in self.open and not again:
            del self.open[row_id]
            taken_up = record.key in self.earlier and record.sends <= 1
            self._put(replace(answer, taken_up=taken_up))

    async def _ask_live(self) -> None:
        """Ask one by one what no batch answered."""
        if self.error is not None or not self.open:
            return
        left = [self.requests[one.request_id] for one in self.open.values()]
        self.completer.report("rows without an answer from a batch: asked live, at the full price", 0, len(left))
        async for answer in self.completer.live.complete(left):
            self._put(answer)

    def _put(self, answer: Answer) -> None:
        with suppress(anyio.BrokenResourceError):  # who asked has gone, an instant before it came
            self.send.send_nowait(answer)

    # --- making a batch -----------------------------------------------------------------------------------------------

    async def _made(self, record: Record) -> Record:
        """Return the record of a batch that exists, making it at most once."""
        service, book = self.completer.service, self.completer.book
        while not record.batch_id:
            if record.sends:
                found = await self._look_for(record)
                if found is not None:
                    return await blocking(book.found, record, found)
                if record.sends >= _MOST_SENDS:
                    what = f"a batch was sent {record.sends} times and is not listed ({service.mark(record)})"
                    raise UnavailableError(what, fix="look for it in the account's batches", where="batches")
            source = await service.prepare(record)
            record = await blocking(book.sent, record)
            try:
                made = await service.create(record, source)
            except OutcomeUnknownError:
                continue
            except ProviderError:
                await blocking(book.drop, record)  # certainly not made
                raise
            record = await blocking(book.found, record, made)
        return record

    async def _look_for(self, record: Record) -> str | None:
        """List batches until one has the key or the send is older than the grace time; at least once."""
        grace_s = self.completer.grace_s
        ends = anyio.current_time() + min(grace_s, max(0.0, record.sent_at + grace_s - time.time()))
        pause_s = 0.2
        while True:
            found = await self.completer.service.listed(record)
            if found is not None or anyio.current_time() >= ends:
                return found
            await anyio.sleep(min(pause_s, max(0.01, ends - anyio.current_time())))
            pause_s = min(_LOOK_MOST_S, pause_s * 1.6)
