"""Answers of a local model, as they come."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import BrokerError, WorkerError
from broker.providers.contract import Answer
from broker.worker.lane import Stopper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from anyio.streams.memory import MemoryObjectSendStream

    from broker.jobs.spec import ModelRef
    from broker.providers.contract import CompletionRequest, ProviderContext

_RESTARTS = 2
_DEFAULT_BATCH = 32
_Item = Answer | BrokerError


class LocalCompleter:
    """Asks one local model. The batches are planned over all requests of a call, the longest prompts first.

    Attributes:
        holds_schema: Nothing here could hold it to a JSON schema, so it is not to be asked with one.
    """

    holds_schema = False

    def __init__(
        self,
        context: ProviderContext,
        model: ModelRef,
        resolve: Callable[[str], str],
        build: Callable[[str], Awaitable[None]],
    ) -> None:
        """Keep the model.

        Args:
            context: Workers and the task group.
            model: The base, and its adapter if any.
            resolve: Returns what to load for the base's name.
            build: Builds the base when it is the sandbox and not there yet.
        """
        self._build = build
        self._context = context
        self._model = model
        self._resolve = resolve
        self._stoppers: set[Stopper] = set()

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        """Yield one answer for each request, batch by batch.

        Args:
            requests: What to answer; one that wants a JSON schema is refused, as nothing here could hold it to that.

        Raises:
            WorkerError: The torch process failed.
        """
        askable = [request for request in requests if request.schema is None]
        for request in requests:
            if request.schema is not None:
                yield Answer(id=request.id, failure="local models cannot be held to a JSON schema")
        send, receive = anyio.create_memory_object_stream[_Item](len(askable) + 1)
        stopper = Stopper()
        self._stoppers.add(stopper)
        # The provider's task group, not one of this generator's own: a generator may be left at any `yield`.
        self._context.tasks.start_soon(self._ask, askable, send, stopper)
        try:
            async with receive:
                async for item in receive:
                    if isinstance(item, BrokerError):
                        raise item
                    yield item
        finally:
            self._stoppers.discard(stopper)
            stopper.stop("cancel")

    async def loaded(self) -> dict[str, Any]:
        """Return what the workers' ops take to load this model; the sandbox is built when it is not there yet."""
        await self._build(self._model.name)
        return self._place()

    async def aclose(self) -> None:
        """Stop what still runs."""
        for stopper in self._stoppers:
            stopper.stop("cancel")

    async def _ask(
        self, requests: Sequence[CompletionRequest], send: MemoryObjectSendStream[_Item], stopper: Stopper
    ) -> None:
        """Ask; again what is missing when the process died."""
        left = {request.id: request for request in requests}
        batch = 0
        with send:
            for restart in range(_RESTARTS + 1):
                told = _Told(left, send, first_batch=batch)
                try:
                    if left:
                        await self._build(self._model.name)
                        await self._context.workers.call(
                            "generate", self._arguments(left.values()), on_event=told.event, stopper=stopper
                        )
                    return
                except BrokerError as error:
                    if not (isinstance(error, WorkerError) and error.kind == "died") or restart == _RESTARTS:
                        _put(send, error)
                        return
                batch = told.next_batch

    def _arguments(self, requests: Any) -> dict[str, Any]:
        return {
            **self._place(),
            "batch_size": int(self._context.account.options.get("answer_batch_size", _DEFAULT_BATCH)),
            "requests": [
                {
                    "id": request.id,
                    "messages": [dict(message) for message in request.messages],
                    "temperature": request.decoding.temperature,
                    "top_p": request.decoding.top_p,
                    "max_tokens": request.decoding.max_tokens,
                    "seed": request.decoding.seed,
                    "stop": list(request.stop),
                }
                for request in requests
            ],
        }

    def _place(self) -> dict[str, Any]:
        model = self._model
        return {
            "model": self._resolve(model.name),
            "adapter": model.adapter,
            "precision": model.precision or "bf16",
        }


class _Told:
    """Turns events into answers."""

    def __init__(
        self, left: dict[str, CompletionRequest], send: MemoryObjectSendStream[_Item], *, first_batch: int
    ) -> None:
        self._left = left
        self._send = send
        self._first = first_batch
        self.next_batch = first_batch

    def event(self, event: Mapping[str, Any]) -> None:
        if event["kind"] != "answers":
            return
        number = event["batch"]
        batch = None if number is None else self._first + number
        self.next_batch = self.next_batch if batch is None else batch + 1
        for row in event["answers"]:
            self._left.pop(row["id"], None)
            _put(self._send, _answer(row, batch))


def _put(send: MemoryObjectSendStream[_Item], item: _Item) -> None:
    with suppress(anyio.BrokenResourceError):  # nobody listens any more; the stopper has been told
        send.send_nowait(item)


def _answer(row: Mapping[str, Any], batch: int | None) -> Answer:
    return Answer(
        id=row["id"],
        text=row.get("text", ""),
        finish_reason=row.get("finish_reason", "stop"),
        input_tokens=row.get("input_tokens", 0),
        output_tokens=row.get("output_tokens", 0),
        latency_s=row.get("latency_s", 0.0),
        batch=batch,
        failure=row.get("failure"),
    )
