"""Batches: a file of chat requests, answered in the background.

Each answer is stored as it comes and asked for once.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import BrokerError
from broker.jobs.blocking import blocking
from broker.jobs.rowfile import RowFile
from broker.server.answering import Answering, Tally
from broker.server.batchrows import BatchRow, read_rows
from broker.server.documents import DocumentStore, Shelf
from broker.server.errors import ApiError, invalid, no_such_batch
from broker.server.files import Files, new_file
from broker.server.ids import sort_key
from broker.server.records import BATCH_LIFE_S, BatchRecord, unix_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from anyio.abc import TaskGroup

    from broker.server.bodies import NewBatch
    from broker.server.chat import ChatDesk

log = logging.getLogger("broker.server")
CHAT = "/v1/chat/completions"


class BatchDesk:
    """Takes batches and works on them."""

    def __init__(
        self, store: DocumentStore, folder: Path, files: Files, chats: ChatDesk, tasks: TaskGroup, *, most_rows: int
    ) -> None:
        """Set up.

        Args:
            store: Where the documents are.
            folder: The server's own folder.
            files: Inputs and outputs.
            chats: Answers the rows.
            tasks: For the work in the background.
            most_rows: Most requests of one batch.
        """
        self._shelf = Shelf(store, "server-batch", BatchRecord, lambda record: record.id)
        self._folder = folder / "batches"
        self._files = files
        self._chats = chats
        self._tasks = tasks
        self._most_rows = most_rows
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def start(self) -> None:
        """Go on with the batches of an earlier run."""
        for record in await self._shelf.all():
            if not record.ended:
                self._tasks.start_soon(self._work, record.id)

    @property
    def open(self) -> int:
        """Return how many batches are being worked on."""
        return len(self._scopes)

    async def create(self, batch_id: str, body: NewBatch, owner: str) -> BatchRecord:
        """Take a batch, or return the one taken with this id. Raises `ApiError` 400 about its file."""
        known = await self._shelf.get(batch_id)
        if known is not None:
            return known
        file = await self._files.find(body.input_file_id)
        if file is None:
            message = f"Invalid input_file_id: no such file: {body.input_file_id[:80]}"
            raise invalid(message, param="input_file_id", code="invalid_file_id")
        if file.purpose != "batch":
            message = f"Invalid input_file_id: the file has the purpose '{file.purpose}', not 'batch'"
            raise invalid(message, param="input_file_id", code="invalid_file_purpose")
        now = unix_now()
        record = BatchRecord(
            id=batch_id,
            endpoint=body.endpoint,
            input_file_id=body.input_file_id,
            completion_window=body.completion_window,
            created_at=now,
            expires_at=now + BATCH_LIFE_S,
            output_life_s=body.output_expires_after.seconds if body.output_expires_after else None,
            metadata=body.metadata,
            owner=owner,
        )
        await self._shelf.put(record)
        self._tasks.start_soon(self._work, record.id)
        return record

    async def get(self, batch_id: str) -> BatchRecord:
        """Return a batch. Raises `ApiError` 404."""
        record = await self._shelf.get(batch_id)
        if record is None:
            raise no_such_batch(batch_id[:80])
        return record

    async def all(self) -> list[BatchRecord]:
        """Return all batches."""
        return await self._shelf.all()

    async def cancel(self, batch_id: str) -> BatchRecord:
        """End a batch; what was answered is kept. Raises `ApiError` 404, or 400 when it has ended otherwise."""
        async with self._locks[(await self.get(batch_id)).id]:
            record = await self.get(batch_id)
            if record.status in ("cancelling", "cancelled"):
                return record
            if record.ended:
                message = f"Cannot cancel a batch with status '{record.status}'."
                raise ApiError(400, message, param="batch_id", code="batch_ended")
            record = await self._put(record, status="cancelling")
        if (scope := self._scopes.get(batch_id)) is not None:
            scope.cancel()
        else:
            self._tasks.start_soon(self._work, batch_id)
        return record

    # --- the work ---------------------------------------------------------------------------------------------------

    async def _work(self, batch_id: str) -> None:
        if batch_id in self._scopes:
            return
        with anyio.CancelScope() as scope:
            self._scopes[batch_id] = scope
            try:
                await self._steps(await self.get(batch_id))
            except (BrokerError, ApiError) as error:
                log.warning("batch %s stopped: %s", batch_id, error)
                await self._fail(batch_id, [_problem("server_error", str(error))])
            except Exception:  # whatever one batch holds, the server goes on
                log.exception("batch %s stopped", batch_id)
                await self._fail(batch_id, [_problem("server_error", "the server's log says more")])
            finally:
                del self._scopes[batch_id]
        if scope.cancelled_caught:
            await self._finish(await self.get(batch_id), "cancelled")

    async def _steps(self, record: BatchRecord) -> None:
        if record.status == "cancelling":
            await self._finish(record, "cancelled")
            return
        if record.status != "finalizing":
            rows = await self._rows(record)
            if rows is None:
                return
            if record.status == "validating":
                model = rows[0].body.get("model")
                changes = {"total": len(rows), "model": model if isinstance(model, str) else None}
                record = await self._change(record.id, status="in_progress", **changes)
            with anyio.move_on_after(max(0, record.expires_at - unix_now())) as time:
                await self._answer(record, rows)
            if time.cancelled_caught:
                await self._finish(record, "expired")
                return
            record = await self._change(record.id, status="finalizing")
        await self._finish(record, "completed")

    async def _rows(self, record: BatchRecord) -> list[BatchRow] | None:
        """Return the requests, or None after the batch was refused with all problems of its file."""
        file = await self._files.find(record.input_file_id)
        if file is None:
            await self._fail(record.id, [_problem("file_not_found", "the input file is gone")])
            return None
        rows, problems = await blocking(read_rows, self._files.path(file), record.endpoint, self._most_rows)
        if record.endpoint != CHAT:
            problems = [_problem("unsupported_endpoint", f"this server has no {record.endpoint}; use {CHAT}")]
        if problems:
            await self._fail(record.id, problems)
            return None
        return rows

    async def _answer(self, record: BatchRecord, rows: list[BatchRow]) -> None:
        file = await blocking(RowFile, self._path(record))
        tally = Tally.of(await blocking(file.read))

        async def written() -> None:
            await self._change(record.id, **tally.counts)

        try:
            await Answering(self._chats, file, rows, tally, written).run()
        finally:
            with anyio.CancelScope(shield=True):
                await blocking(file.close)

    async def _finish(self, record: BatchRecord, status: str) -> None:
        lines = await blocking(_read, self._path(record))
        answers = [line for line in lines if line["ok"]]
        failures = [line for line in lines if not line["ok"]]
        output = await self._output(record, "output", answers, seat=0)
        errors = await self._output(record, "error", failures, seat=1)
        await self._change(record.id, status=status, output_file_id=output, error_file_id=errors)

    async def _output(self, record: BatchRecord, word: str, lines: list[dict[str, Any]], *, seat: int) -> str | None:
        if not lines:
            return None
        key = sort_key(record.id) or record.id
        file = new_file(
            file_id=f"file-{key[:-1]}{seat}",
            filename=f"{record.id}_{word}.jsonl",
            size=0,
            purpose="batch_output",
            life_s=record.output_life_s,
            owner=record.owner,
        )
        return (await self._files.write(file, _output_lines(lines))).id

    async def _fail(self, batch_id: str, problems: list[dict[str, Any]]) -> None:
        await self._change(batch_id, status="failed", errors=problems)

    async def _change(self, batch_id: str, **changes: Any) -> BatchRecord:
        """Change a batch; one that is being cancelled goes only to its end, and one that has ended nowhere."""
        async with self._locks[batch_id]:
            record = await self.get(batch_id)
            if record.ended or (
                record.status == "cancelling" and changes.get("status") in ("in_progress", "finalizing")
            ):
                return record
            return await self._put(record, **changes)

    async def _put(self, record: BatchRecord, **changes: Any) -> BatchRecord:
        status = changes.get("status")
        times = record.times if status is None else {**record.times, f"{status}_at": unix_now()}
        return await self._shelf.put(replace(record, **changes, times=times))

    def _path(self, record: BatchRecord) -> Path:
        return self._folder / f"{record.id}.jsonl"


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    file = RowFile(path)
    try:
        return file.read()
    finally:
        file.close()


def _output_lines(lines: list[dict[str, Any]]) -> Iterator[bytes]:
    for line in lines:
        shown: Mapping[str, Any] = {
            "id": line["id"],
            "custom_id": line["custom_id"],
            "response": line["response"],
            "error": None,
        }
        yield json.dumps(shown, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _problem(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": None}
