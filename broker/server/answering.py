"""Answers the rows of a batch that are left, some at once, and writes the answers in small groups."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import anyio

from broker.errors import BrokerError
from broker.jobs.blocking import blocking
from broker.server.chatbody import Chat, refuse_unsupported
from broker.server.errors import ApiError, server_error
from broker.server.ids import new_id
from broker.server.validation import validated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from broker.jobs.rowfile import RowFile
    from broker.server.batchrows import BatchRow
    from broker.server.chat import ChatDesk

log = logging.getLogger("broker.server")
_AT_ONCE = 64
_FLUSH_S = 0.5
_RETRY_S = 2.0
_TRIES = 5
_WORTH_A_RETRY = frozenset({429, 503})


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    done: set[str] = field(default_factory=set[str])
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @classmethod
    def of(cls, lines: Sequence[Mapping[str, Any]]) -> Self:
        """Count lines that were written before."""
        tally = cls()
        for line in lines:
            tally.add(line)
        return tally

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one line."""
        self.done.add(line["custom_id"])
        if not line["ok"]:
            self.failed += 1
            return
        self.completed += 1
        usage = line["response"]["body"]["usage"]
        self.input_tokens += usage["prompt_tokens"]
        self.output_tokens += usage["completion_tokens"]

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts under the names that a batch's record has for them."""
        return {
            "completed": self.completed,
            "failed": self.failed,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }


class Answering:
    """One run over the rows of a batch."""

    def __init__(
        self,
        chats: ChatDesk,
        file: RowFile,
        rows: Sequence[BatchRow],
        tally: Tally,
        written: Callable[[], Awaitable[None]],
    ) -> None:
        """Set up.

        Args:
            chats: Answers the rows.
            file: Takes the answers.
            rows: All requests of the batch.
            tally: What was answered before; counts on.
            written: Called after answers were written.
        """
        self._chats = chats
        self._file = file
        self._left = iter([row for row in rows if row.custom_id not in tally.done])
        self._tally = tally
        self._written = written
        self._ready: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Answer every row that is left; what was answered is written even when this is cancelled."""
        try:
            async with anyio.create_task_group() as writing:
                writing.start_soon(self._write_now_and_then)
                async with anyio.create_task_group() as asking:
                    for _ in range(_AT_ONCE):
                        asking.start_soon(self._ask_rows)
                writing.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._write()

    async def _ask_rows(self) -> None:
        for row in self._left:
            self._ready.append(await self._ask(row))

    async def _ask(self, row: BatchRow) -> dict[str, Any]:
        status, body = await self._try(row)
        for attempt in range(1, _TRIES):
            if status not in _WORTH_A_RETRY:
                break
            await anyio.sleep(_RETRY_S * attempt)
            status, body = await self._try(row)
        response = {"status_code": status, "request_id": new_id("req_"), "body": body}
        return {"id": new_id("batch_req_"), "custom_id": row.custom_id, "ok": status == 200, "response": response}

    async def _try(self, row: BatchRow) -> tuple[int, dict[str, Any]]:
        try:
            chat = validated(Chat, {**row.body, "stream": False})
            refuse_unsupported(chat)
            return 200, await self._chats.whole(chat)
        except ApiError as error:
            return error.status, error.body
        except BrokerError as error:
            log.warning("a row of a batch failed: %s", error)
            failure = server_error(row.custom_id)
            return failure.status, failure.body

    async def _write_now_and_then(self) -> None:
        while True:
            await anyio.sleep(_FLUSH_S)
            with anyio.CancelScope(shield=True):
                await self._write()

    async def _write(self) -> None:
        ready, self._ready = self._ready, []
        if not ready:
            return
        await blocking(self._file.append, ready)
        for line in ready:
            self._tally.add(line)
        await self._written()
