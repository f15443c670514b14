"""Batches at OpenAI: rows in a file, a key in the metadata, answers in two result files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from openai import omit

from broker.errors import OutcomeUnknownError, RefusedError
from broker.jobs.artifacts import Artifacts
from broker.providers.batchbook import Line, Record, row_id
from broker.providers.batching import CLOCKS_S
from broker.providers.foreign_json import Item, MalformedAnswerError, fields
from broker.providers.openai_tuning.connection import Connection
from broker.providers.openai_tuning.listing import PAGE, created_at, newest_first, pages
from broker.providers.openai_tuning.questions import Questions
from broker.providers.openai_tuning.statuses import BATCH_ENDS
from broker.providers.openai_tuning.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from openai import AsyncOpenAI

    from broker.providers.contract import Answer, CompletionRequest


BATCH_KEY = "broker_batch"
MOST_ROWS = 50_000
MOST_BYTES = 190 * 1024 * 1024  # 200 MB are allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches of one account and one model (`batching.Service`).

    Attributes:
        connection: The account.
        questions: How the model is asked.
        uploads: Puts the input files there.
        artifacts: Holds them here.
        poll_s: Time between two looks, seconds.
        report: Shows progress: (text, done, total).
    """

    connection: Connection
    questions: Questions
    uploads: Uploads
    artifacts: Artifacts
    poll_s: float = 20.0
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None

    def line(self, request: CompletionRequest) -> Line:
        """Return a request as a row of a batch."""
        body = self.questions.body(request)
        found = row_id(request.id, body)
        row = {"custom_id": found, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return Line(id=found, request_id=request.id, text=json.dumps(row, ensure_ascii=False))

    def mark(self, record: Record) -> str:
        """Say what a person has to look for."""
        return f"metadata {BATCH_KEY}={record.key}"

    # --- making a batch -----------------------------------------------------------------------------------------------

    async def prepare(self, record: Record) -> str:
        """Upload the rows, each content once, and return the file's id."""
        return await self.uploads.ensure(self.artifacts.path(record.sha256), record.sha256, purpose="batch")

    async def create(self, record: Record, source: str) -> str:
        """Make the batch, once."""

        def call(client: AsyncOpenAI) -> Any:
            return client.batches.with_raw_response.create(
                input_file_id=source,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={BATCH_KEY: record.key},
                extra_headers={"Idempotency-Key": record.key},
            )

        made = await self.connection.create(call, "batches.create")
        if not made.get("id"):
            raise OutcomeUnknownError("the answer to the new batch holds no id", where="batches.create")
        return str(made["id"])

    async def listed(self, record: Record) -> str | None:
        """Search the listing for the key: it has no filter for metadata."""

        async def fetch(after: str | None) -> Item:
            def call(client: AsyncOpenAI) -> Any:
                return client.batches.with_raw_response.list(limit=PAGE, after=after or omit)

            return await self.connection.read(call, "batches.list")

        earlier: list[Item] | None = None
        async for page in pages(fetch):
            for item in page:
                if fields(item.get("metadata")).get(BATCH_KEY) == record.key:
                    return str(item["id"])
            old = max(map(created_at, page)) < record.begun_at - CLOCKS_S
            if earlier is not None and newest_first(earlier, page) and old:
                return None
            earlier = page
        return None

    # --- following a batch --------------------------------------------------------------------------------------------

    async def ended(self, record: Record) -> Item | None:
        """Look at a batch until it has ended; None when it is gone or was refused as a whole."""
        while True:
            batch = await self._look(record.batch_id)
            if batch is None:
                return None
            counts = fields(batch.get("request_counts"))
            done = int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
            self.report(f"batch {batch.get('status')}", done, len(record.rows))
            if BATCH_ENDS.get(str(batch.get("status")), False):
                return batch if batch.get("output_file_id") or batch.get("error_file_id") else None
            await anyio.sleep(self.poll_s)

    async def results(self, batch: Item, wanted: Mapping[str, Line]) -> AsyncIterator[tuple[str, Answer]]:
        """Yield the good rows of the result files."""
        for name in ("output_file_id", "error_file_id"):
            if file_id := batch.get(name):
                for text in (await self._content(str(file_id))).splitlines():
                    if found := self._read(_parsed(text), wanted):
                        yield found

    async def _look(self, batch_id: str) -> Item | None:
        try:
            return await self.connection.read(lambda c: c.batches.with_raw_response.retrieve(batch_id), "batches")
        except RefusedError as error:
            if self.connection.reader.read(error).code == "not_found":
                return None
            raise

    async def _content(self, file_id: str) -> bytes:
        try:
            return await self.connection.content(file_id, "files")
        except RefusedError as error:
            if self.connection.reader.read(error).code == "not_found":
                return b""
            raise

    def _read(self, row: Item, wanted: Mapping[str, Line]) -> tuple[str, Answer] | None:
        one = wanted.get(str(row.get("custom_id")))
        response = fields(row.get("response"))
        if one is None or response.get("status_code") != 200:
            return None
        try:
            return one.id, self.questions.answer(one.request_id, fields(response.get("body")), batch=True)
        except MalformedAnswerError:
            return None


def _parsed(text: bytes) -> Item:
    try:
        return fields(json.loads(text))
    except ValueError:
        return {}
