"""Puts chat requests that wait at the same moment together, so that the local model makes their answers as one batch.

One base stays loaded in the `serve` process, with many adapters on it. What waits is grouped by base, precision and
adapter; the group of the oldest request goes first. The text of an answer may depend on its batch (bf16): no promise.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from broker.errors import BrokerError, WorkerError
from broker.server.backend import ChatOrder, ChatPiece
from broker.server.errors import ApiError, invalid, unavailable
from broker.worker.pool import Stopper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from anyio.abc import TaskGroup

    from broker.worker.pool import WorkerPool

LANE = "serve"
BATCH_ROWS = 32
# So long a lone request waits for company.
_GATHER_S = 0.01

_Group = tuple[str, str | None, str | None, int | None]
_Told = tuple[int, ChatPiece | ApiError]


@dataclass(slots=True, kw_only=True)
class _Waiting:
    position: int
    order: ChatOrder
    folder: str
    to: MemoryObjectSendStream[_Told]
    told: int = 0
    gone: bool = False

    @property
    def group(self) -> _Group:
        model = self.order.model
        return (self.folder, model.adapter, model.precision, self.order.logprobs)

    def tell(self, told: ChatPiece | ApiError) -> None:
        if not self.gone:
            try:
                self.to.send_nowait((self.position, told))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.gone = True


@dataclass(slots=True)
class _Running:
    rows: dict[str, _Waiting]
    stopper: Stopper = field(default_factory=Stopper)

    def left(self) -> None:
        if all(row.gone for row in self.rows.values()):
            self.stopper.stop("cancel")

    def on_event(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "delta" and (row := self.rows.get(event["id"])) is not None and row.order.stream:
            row.told += len(event["text"])
            row.tell(ChatPiece(text=event["text"], logprobs=event.get("logprobs") or ()))
        elif event["kind"] == "answers":
            for answer in event["answers"]:
                if (row := self.rows.pop(answer["id"], None)) is not None:
                    _tell_answer(row, answer)


class ChatBatcher:
    """The queue before the local model."""

    def __init__(self, workers: WorkerPool, tasks: TaskGroup) -> None:
        """Start the queue.

        Args:
            workers: The torch processes.
            tasks: For the loop that empties the queue.
        """
        self._workers = workers
        self._waiting: list[_Waiting] = []
        self._running: _Running | None = None
        self._arrived = anyio.Event()
        tasks.start_soon(self._run)

    async def chat(self, orders: Sequence[ChatOrder], folder: str) -> AsyncGenerator[tuple[int, ChatPiece]]:
        """Yield (position of the order, piece of its answer) as they come.

        Args:
            orders: All of the same model.
            folder: The base model's folder or hub id.
        """
        send, receive = anyio.create_memory_object_stream[_Told](math.inf)
        rows = [
            _Waiting(position=position, order=order, folder=folder, to=send) for position, order in enumerate(orders)
        ]
        self._waiting.extend(rows)
        self._arrived.set()
        try:
            async with aclosing(_told(receive, len(rows))) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            send.close()
            receive.close()
            self._leave(rows)

    def _leave(self, rows: Sequence[_Waiting]) -> None:
        for row in rows:
            row.gone = True
        self._waiting = [row for row in self._waiting if not row.gone]
        if self._running is not None:
            self._running.left()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            await anyio.sleep(_GATHER_S)
            while self._waiting:
                await self._one_batch()

    async def _one_batch(self) -> None:
        group = self._waiting[0].group
        chosen = [row for row in self._waiting if row.group == group][:BATCH_ROWS]
        self._waiting = [row for row in self._waiting if row not in chosen]
        named = _named(chosen)
        self._running = running = _Running(dict(named))
        try:
            await self._workers.call(
                "generate", _arguments(named), lane=LANE, on_event=running.on_event, stopper=running.stopper
            )
        except WorkerError as error:
            _tell_all(running, unavailable(f"The model's process failed: {error.message}"))
        except BrokerError as error:
            _tell_all(running, unavailable(error.message))
        else:
            _tell_all(running, unavailable("The model stopped before it had answered."))
        finally:
            self._running = None


async def _told(receive: MemoryObjectReceiveStream[_Told], answers: int) -> AsyncGenerator[tuple[int, ChatPiece]]:
    async for position, told in receive:
        if isinstance(told, ApiError):
            raise told
        yield position, told
        answers -= told.finish_reason is not None
        if not answers:
            return


def _named(rows: Sequence[_Waiting]) -> dict[str, _Waiting]:
    """Name rows by what they ask.

    The model seeds each row by its `seed` and its name, so the same question with the same seed draws the same answer.
    Equal rows of one batch are told apart by a number.
    """
    named: dict[str, _Waiting] = {}
    for row in rows:
        asked = json.dumps([row.position, row.order.messages], sort_keys=True).encode()
        name = hashlib.sha256(asked).hexdigest()[:16]
        named[name if name not in named else f"{name}-{len(named)}"] = row
    return named


def _arguments(rows: Mapping[str, _Waiting]) -> dict[str, Any]:
    first = next(iter(rows.values()))
    return {
        "model": first.folder,
        "adapter": first.order.model.adapter,
        "precision": first.order.model.precision or "bf16",
        "requests": [_request(name, row.order) for name, row in rows.items()],
        "batch_size": BATCH_ROWS,
        "stream_tokens": any(row.order.stream for row in rows.values()),
        "logprobs": first.order.logprobs,
    }


def _request(name: str, order: ChatOrder) -> dict[str, Any]:
    return {
        "id": name,
        "messages": [dict(message) for message in order.messages],
        "temperature": order.temperature,
        "top_p": order.top_p,
        "max_tokens": order.max_tokens,
        "seed": order.seed,
        "stop": list(order.stop),
    }


def _tell_answer(row: _Waiting, answer: Mapping[str, Any]) -> None:
    if answer.get("failure"):
        row.tell(_refusal(str(answer["failure"])))
        return
    streamed = row.order.stream and row.told > 0
    row.tell(
        ChatPiece(
            text=answer["text"][row.told :] if streamed else answer["text"],
            logprobs=() if streamed else answer.get("logprobs") or (),
            finish_reason=answer["finish_reason"],
            input_tokens=answer["input_tokens"],
            output_tokens=answer["output_tokens"],
        )
    )


def _refusal(failure: str) -> ApiError:
    if "token" in failure:
        return invalid(failure, param="messages", code="context_length_exceeded")
    return unavailable(f"The model gave no answer: {failure}")


def _tell_all(running: _Running, error: ApiError) -> None:
    for row in running.rows.values():
        row.tell(error)
