"""Batches at Gemini: rows inline or in a file, a key in the display name, answers row by row.

The listing has no filter, so it is walked for the display name. A file's name is made of the key too, which makes its
upload repeatable: what is there already is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from google.genai import types

from broker.errors import OutcomeUnknownError, ProviderError, RefusedError, UnavailableError
from broker.jobs.artifacts import Artifacts
from broker.providers.batchbook import Line, Record, row_id
from broker.providers.foreign_json import Item, MalformedAnswerError, fields
from broker.providers.gemini.answers import Readings
from broker.providers.gemini.completions import config_of, contents_of
from broker.providers.gemini.connection import UPLOAD_S, Connection
from broker.providers.gemini.endings import BATCH_ENDS
from broker.providers.gemini.questions import Questions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from google.genai.client import AsyncClient

    from broker.providers.contract import Answer, CompletionRequest

MOST_ROWS = 50_000
MOST_BYTES = 1024 * 1024 * 1024  # 2 GB are allowed
# 20 MB are allowed for the whole request, which holds some more than the rows.
INLINE_BYTES = 15 * 1024 * 1024
PAGE = 100
_MIME = "application/jsonl"
_FILE_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch that has ended.

    Attributes:
        record: What is known about it here.
        job: As the SDK shows it.
    """

    record: Record
    job: types.BatchJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches of one account and one model (`batching.Service`).

    Attributes:
        connection: The account.
        questions: How the model is asked.
        readings: How its answers are read.
        artifacts: Holds the rows here.
        poll_s: Time between two looks, seconds.
        inline_bytes: Largest batch whose rows travel in the creating call; a larger one goes by a file.
        report: Shows progress: (text, done, total).
    """

    connection: Connection
    questions: Questions
    readings: Readings
    artifacts: Artifacts
    poll_s: float = 20.0
    inline_bytes: int = INLINE_BYTES
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None

    def line(self, request: CompletionRequest) -> Line:
        """Return a request as a row of a batch: a line of the input file."""
        body = self.questions.body(request)
        found = row_id(request.id, body)
        text = json.dumps({"key": found, "request": body}, ensure_ascii=False)
        return Line(id=found, request_id=request.id, text=text)

    def mark(self, record: Record) -> str:
        """Say what a person has to look for."""
        return f"display name {_display_name(record)}"

    # --- making a batch -----------------------------------------------------------------------------------------------

    async def prepare(self, record: Record) -> str:
        """Upload the rows and return the file's name; empty for few rows, which travel in the creating call."""
        path = self.artifacts.path(record.sha256)
        if (await anyio.Path(path).stat()).st_size <= self.inline_bytes:
            return ""
        name = f"files/broker-{record.key}"
        file = await self._file(name)
        if file is None:
            file = await self._upload(name, path, record)
        while file is not None and file.state == types.FileState.PROCESSING:
            await anyio.sleep(_FILE_LOOK_S)
            file = await self._file(name)
        if file is None or file.state == types.FileState.FAILED:
            what = f"the file {name} was uploaded and is {'gone' if file is None else 'found unusable'}"
            raise UnavailableError(what, fix="try again", where="files")
        return name

    async def create(self, record: Record, source: str) -> str:
        """Make the batch, once."""
        rows: Any = source or await self._inline(record)
        config = types.CreateBatchJobConfig(display_name=_display_name(record))

        async def call(client: AsyncClient) -> types.BatchJob:
            return await client.batches.create(model=record.model, src=rows, config=config)

        made = await self.connection.create(call, "batches.create")
        if not made.name:
            raise OutcomeUnknownError("the answer to the new batch holds no name", where="batches.create")
        return made.name

    async def listed(self, record: Record) -> str | None:
        """Search the listing for the display name."""
        wanted, token, tokens = _display_name(record), "", set[str]()
        while True:
            page, token = await self._page(token)
            for job in page:
                if job.display_name == wanted and job.name:
                    return job.name
            if not token or token in tokens:
                return None
            tokens.add(token)

    async def _page(self, token: str) -> tuple[list[types.BatchJob], str]:
        config = types.ListBatchJobsConfig(page_size=PAGE, page_token=token or None)

        async def call(client: AsyncClient) -> tuple[list[types.BatchJob], str]:
            pager = await client.batches.list(config=config)
            return pager.page, str(pager.config.get("page_token") or "")

        return await self.connection.read(call, "batches.list")

    async def _inline(self, record: Record) -> list[types.InlinedRequest]:
        stored = await anyio.Path(self.artifacts.path(record.sha256)).read_bytes()
        rows = [json.loads(line) for line in stored.splitlines()]  # bytes: U+2028 in a text ends no line
        return [
            types.InlinedRequest(
                contents=list(contents_of(row["request"])),
                config=config_of(row["request"], raw=False),
                metadata={"key": row["key"]},
            )
            for row in rows
        ]

    # --- files --------------------------------------------------------------------------------------------------------

    async def _file(self, name: str) -> types.File | None:
        """Return a file, or None when there is none: Gemini answers 403 then."""
        try:
            return await self.connection.read(lambda client: client.files.get(name=name), "files")
        except RefusedError as error:
            if self.connection.reader.read(error).code in {"forbidden", "not_found"}:
                return None
            raise

    async def _upload(self, name: str, path: Path, record: Record) -> types.File | None:
        """Upload the rows, in spite of an answer that was lost: what counts is whether the file is there."""
        size = (await anyio.Path(path).stat()).st_size
        config = types.UploadFileConfig(name=name, display_name=_display_name(record), mime_type=_MIME)

        async def call(client: AsyncClient) -> None:
            try:
                await client.files.upload(file=path, config=config)
            except (KeyError, ValueError) as error:  # so the SDK says that an answer is not what it should be
                raise MalformedAnswerError(str(error)) from None

        self.report("uploading", 0, size)
        try:
            await self.connection.read(call, "files", limit_s=UPLOAD_S)
        except ProviderError:
            if (file := await self._file(name)) is None:
                raise
            return file
        self.report("uploading", size, size)
        return await self._file(name)

    # --- following a batch --------------------------------------------------------------------------------------------

    async def ended(self, record: Record) -> Ended | None:
        """Look at a batch until it has ended; None when it is gone or has no results at all."""
        while True:
            job = await self._look(record.batch_id)
            if job is None:
                return None
            state = _state(job)
            over = BATCH_ENDS.get(state, False)
            self.report(f"batch {state.removeprefix('JOB_STATE_').lower()}", len(record.rows) * over, len(record.rows))
            if over:
                return Ended(record, job) if job.dest is not None else None
            await anyio.sleep(self.poll_s)

    async def results(self, batch: Ended, wanted: Mapping[str, Line]) -> AsyncIterator[tuple[str, Answer]]:
        """Yield the answers of the rows, those that Gemini ended early with their failure; rows with an error never."""
        for key, response in await self._rows(batch):
            one = wanted.get(key)
            if one is not None and response:
                yield key, self.readings.answer(one.request_id, response, batch=True)

    async def _rows(self, batch: Ended) -> list[tuple[str, Item]]:
        """Return key and response of each row, from the file or from the batch itself."""
        destination = batch.job.dest
        if destination is not None and destination.file_name:
            rows = [_parsed(line) for line in (await self._content(destination.file_name)).splitlines()]
            return [(str(row.get("key")), fields(row.get("response"))) for row in rows]
        inlined = (destination.inlined_responses if destination else None) or []
        dumped = [fields(one.model_dump(mode="json", by_alias=True, exclude_none=True)) for one in inlined]
        keys = [str(fields(row.get("metadata")).get("key") or "") for row in dumped]
        if not any(keys) and len(keys) == len(batch.record.rows):
            keys = list(batch.record.rows)  # Gemini leaves the keys out at times; the order is that of the rows
        return [(key, fields(row.get("response"))) for key, row in zip(keys, dumped, strict=True)]

    async def _look(self, name: str) -> types.BatchJob | None:
        try:
            return await self.connection.read(lambda client: client.batches.get(name=name), "batches")
        except RefusedError as error:
            if self.connection.reader.read(error).code == "not_found":
                return None
            raise

    async def _content(self, name: str) -> bytes:
        config = types.DownloadFileConfig(http_options=types.HttpOptions(timeout=int(UPLOAD_S * 1000)))
        try:
            return await self.connection.read(
                lambda client: client.files.download(file=name, config=config), "files", limit_s=UPLOAD_S
            )
        except RefusedError as error:
            if self.connection.reader.read(error).code in {"forbidden", "not_found"}:
                return b""
            raise


def _state(job: types.BatchJob) -> str:
    """Return the state; the SDK translates Gemini's own prefix for some words only."""
    return str(job.state.value).replace("BATCH_STATE_", "JOB_STATE_") if job.state else "JOB_STATE_UNSPECIFIED"


def _display_name(record: Record) -> str:
    return f"broker-{record.key}"


def _parsed(text: bytes) -> Item:
    try:
        return fields(json.loads(text))
    except ValueError:
        return {}
