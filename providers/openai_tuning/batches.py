"""Asks a model by the Batch API: half the price, within a day. Picks up where it stopped, and asks live what failed.

Batches have no metadata filter: after a doubt the listing is searched for the key in the metadata until the send is
older than the grace time; only then is it sent once more.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from openai import omit

from broker.errors import BrokerError, OutcomeUnknownError, ProviderError, RefusedError, UnavailableError
from broker.jobs.artifacts import Artifacts
from broker.jobs.blocking import blocking
from broker.providers.contract import Answer, CompletionRequest
from broker.providers.openai_tuning.batchbook import Book, Line, Record, line, parcels
from broker.providers.openai_tuning.completions import LiveCompleter
from broker.providers.openai_tuning.faults import MalformedAnswerError
from broker.providers.openai_tuning.listing import PAGE, Item, created_at, fields, newest_first, pages
from broker.providers.openai_tuning.statuses import BATCH_ENDS
from broker.providers.openai_tuning.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from openai import AsyncOpenAI


BATCH_KEY = "broker_batch"
_MOST_SENDS = 2
_LOOK_MOST_S = 10.0
_CLOCKS_S = 2 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCompleter:
    """Asks one model by batches.

    Attributes:
        live: Asks what a batch failed to answer; knows the account and the questions.
        uploads: Puts the input files there.
        artifacts: Holds them here.
        book: What is known about earlier batches.
        grace_s: How long a created batch may stay invisible in the listing, seconds.
        poll_s: Time between two looks, seconds.
        report: Shows progress: (text, done, total).
        most_rows: Most rows of a batch.
    """

    live: LiveCompleter
    uploads: Uploads
    artifacts: Artifacts
    book: Book
    grace_s: float
    poll_s: float = 20.0
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None
    most_rows: int = 50_000

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield an answer for each request as batches end; rows that failed in a batch are asked live.

        Args:
            requests: The prompts.

        Raises:
            ProviderError: A batch can be neither made nor settled; rows under way will be found again.
        """
        send, receive = anyio.create_memory_object_stream[Answer](math.inf)
        round_ = _Round(completer=self, requests={request.id: request for request in requests}, send=send)
        await round_.plan()
        self.live.tasks.start_soon(round_.run)
        try:
            async for answer in receive:
                yield answer
            if round_.error is not None:
                raise round_.error
        finally:
            round_.scope.cancel()
            receive.close()

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

    async def plan(self) -> None:
        """Find the batches that hold rows of this round already, and write down new ones for the rest."""
        me = self.completer
        questions = me.live.questions
        lines = [line(request.id, questions.body(request)) for request in self.requests.values()]
        self.open = {one.id: one for one in lines}
        self.records = await blocking(me.book.holding, questions.model, list(self.open))
        under_way = {row for record in self.records for row in record.rows}
        fresh = [one for one in lines if one.id not in under_way]
        for parcel in parcels(fresh, most_rows=me.most_rows):
            sha256 = await blocking(me.artifacts.put_lines, [one.text for one in parcel])
            self.records.append(await blocking(me.book.add, questions.model, parcel, sha256))

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
        try:
            batch = await self._wait(await self._made(record))
            if batch is None:
                await blocking(self.completer.book.drop, record)
                return
            for name in ("output_file_id", "error_file_id"):
                if file_id := batch.get(name):
                    await self._merge(str(file_id))
        except BrokerError as error:
            self.error = self.error or error

    async def _ask_live(self) -> None:
        """Ask one by one what no batch answered."""
        if self.error is not None or not self.open:
            return
        left = [self.requests[one.request_id] for one in self.open.values()]
        async for answer in self.completer.live.complete(left):
            self.send.send_nowait(answer)

    # --- making a batch -----------------------------------------------------------------------------------------------

    async def _made(self, record: Record) -> Record:
        """Return the record of a batch that exists, making it at most once."""
        me, book = self.completer, self.completer.book
        while not record.batch_id:
            if record.sends:
                found = await self._look_for(record)
                if found is not None:
                    return await blocking(book.found, record, found)
                if record.sends >= _MOST_SENDS:
                    what = (
                        f"a batch was sent {record.sends} times and is not listed (metadata {BATCH_KEY}={record.key})"
                    )
                    raise UnavailableError(what, fix="look for it in the account's batches", where="batches")
            file_id = await me.uploads.ensure(me.artifacts.path(record.sha256), record.sha256, purpose="batch")
            record = await blocking(book.sent, record)
            try:
                made = await self._create(record, file_id)
            except OutcomeUnknownError:
                continue
            except ProviderError:
                await blocking(book.drop, record)  # certainly not made
                raise
            record = await blocking(book.found, record, made)
        return record

    async def _create(self, record: Record, file_id: str) -> str:
        def call(client: AsyncOpenAI) -> Any:
            return client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={BATCH_KEY: record.key},
                extra_headers={"Idempotency-Key": record.key},
            )

        made = await self.completer.live.connection.create(call, "batches.create")
        if not made.get("id"):
            raise OutcomeUnknownError("the answer to the new batch holds no id", where="batches.create")
        return str(made["id"])

    async def _look_for(self, record: Record) -> str | None:
        """List batches until one has the key or the send is older than the grace time; at least once."""
        grace_s = self.completer.grace_s
        ends = anyio.current_time() + min(grace_s, max(0.0, record.sent_at + grace_s - time.time()))
        pause_s = 0.2
        while True:
            if (found := await self._listed(record)) is not None or anyio.current_time() >= ends:
                return found
            await anyio.sleep(min(pause_s, max(0.01, ends - anyio.current_time())))
            pause_s = min(_LOOK_MOST_S, pause_s * 1.6)

    async def _listed(self, record: Record) -> str | None:
        async def fetch(after: str | None) -> Item:
            def call(client: AsyncOpenAI) -> Any:
                return client.batches.with_raw_response.list(limit=PAGE, after=after or omit)

            return await self.completer.live.connection.read(call, "batches.list")

        earlier: list[Item] | None = None
        async for page in pages(fetch):
            for item in page:
                if fields(item.get("metadata")).get(BATCH_KEY) == record.key:
                    return str(item["id"])
            old = max(map(created_at, page)) < record.begun_at - _CLOCKS_S
            if earlier is not None and newest_first(earlier, page) and old:
                return None
            earlier = page
        return None

    # --- following a batch --------------------------------------------------------------------------------------------

    async def _wait(self, record: Record) -> Item | None:
        """Look at a batch until it has ended; None when it is gone or was refused as a whole."""
        while True:
            batch = await self._look(record.batch_id)
            if batch is None:
                return None
            counts = fields(batch.get("request_counts"))
            done = int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
            self.completer.report(f"batch {batch.get('status')}", done, len(record.rows))
            if BATCH_ENDS.get(str(batch.get("status")), False):
                return batch if batch.get("output_file_id") or batch.get("error_file_id") else None
            await anyio.sleep(self.completer.poll_s)

    async def _look(self, batch_id: str) -> Item | None:
        connection = self.completer.live.connection
        try:
            return await connection.read(lambda c: c.batches.with_raw_response.retrieve(batch_id), "batches")
        except RefusedError as error:
            if connection.reader.read(error).code == "not_found":
                return None
            raise

    async def _merge(self, file_id: str) -> None:
        """Yield the good rows of a result file; the others stay open and are asked live."""
        connection = self.completer.live.connection
        try:
            content = await connection.content(file_id, "files")
        except RefusedError as error:
            if connection.reader.read(error).code == "not_found":
                return
            raise
        for text in content.splitlines():
            self._take(_parsed(text))

    def _take(self, row: Item) -> None:
        one = self.open.get(str(row.get("custom_id")))
        response = fields(row.get("response"))
        if one is None or response.get("status_code") != 200:
            return
        try:
            answer = self.completer.live.questions.answer(one.request_id, fields(response.get("body")), batch=True)
        except MalformedAnswerError:
            return
        del self.open[one.id]
        self.send.send_nowait(answer)


def _parsed(text: bytes) -> Item:
    try:
        return fields(json.loads(text))
    except ValueError:
        return {}
