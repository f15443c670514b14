"""Who asks models of one base at the same time is served in one call of the torch process.

Each asker keeps rows, batches and answers of its own; what it gets does not depend on the others
(`broker.worker.generation.stack`). Somebody who leaves disturbs nobody; when the process dies, what is missing is asked
again for all; when something fails that concerns all, each goes on alone, so that only those at fault are told.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import BrokerError, WorkerError
from broker.providers.contract import Answer
from broker.worker.lane import Stopper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from anyio.streams.memory import MemoryObjectSendStream

    from broker.jobs.spec import ModelRef
    from broker.providers.contract import CompletionRequest, ProviderContext

Item = Answer | BrokerError
_RESTARTS = 2
_DEFAULT_BATCH = 32
_PRECISION = "bf16"
# So long the first one waits for company, seconds: jobs that are claimed at one look come within it.
_GATHER_S = 0.1


class Guest:
    """Somebody who asks one model."""

    def __init__(
        self, name: str, model: ModelRef, requests: Sequence[CompletionRequest], send: MemoryObjectSendStream[Item]
    ) -> None:
        """Begin.

        Args:
            name: Unique among all guests.
            model: The base, and its adapter if any.
            requests: What to answer.
            send: Receives answers and, at most once and last, an error; closed at the end.
        """
        self.name = name
        self.model = model
        self.alone = False
        self.deaths = 0
        self._left = {request.id: request for request in requests}
        self._send = send
        self._first_batch = self._next_batch = 0

    @property
    def served(self) -> bool:
        """Return whether all answers are there."""
        return not self._left

    def asked(self) -> dict[str, Any]:
        """Return what is still missing, as the op `generate` wants it."""
        self._first_batch = self._next_batch
        requests = [_request(request) for request in self._left.values()]
        return {"name": self.name, "adapter": self.model.adapter, "requests": requests}

    def told(self, event: Mapping[str, Any]) -> None:
        """Take the answers of a batch. Batches are numbered on from call to call."""
        number = event["batch"]
        batch = None if number is None else self._first_batch + number
        self._next_batch = self._next_batch if batch is None else batch + 1
        for row in event["answers"]:
            self._left.pop(row["id"], None)
            self._put(_answer(row, batch))

    def close(self, error: BrokerError | None = None) -> None:
        """End the answers."""
        if error is not None:
            self._put(error)
        self._send.close()

    def _put(self, item: Item) -> None:
        with suppress(anyio.BrokenResourceError):  # nobody listens any more; it is about to leave
            self._send.send_nowait(item)


@dataclass(slots=True, eq=False)
class _Table:
    """The guests of one base."""

    guests: list[Guest] = field(default_factory=list[Guest])  # in the order in which they came
    seated: list[Guest] = field(default_factory=list[Guest])  # those whom the call that runs serves
    stopper: Stopper | None = None


class Gathering:
    """All who ask models of this machine."""

    def __init__(
        self,
        context: ProviderContext,
        resolve: Callable[[str], str],
        build: Callable[[str], Awaitable[None]],
    ) -> None:
        """Open, empty.

        Args:
            context: Workers and the task group.
            resolve: Returns what to load for a base's name.
            build: Builds the base when it is the sandbox and not there yet.
        """
        self._context = context
        self._resolve = resolve
        self._build = build
        self._tables: dict[tuple[str, str], _Table] = {}
        self._names = count()

    async def loaded(self, model: ModelRef) -> dict[str, Any]:
        """Return what the workers' ops take to load a model; the sandbox is built when it is not there yet."""
        await self._build(model.name)
        precision = model.precision or _PRECISION
        return {"model": self._resolve(model.name), "adapter": model.adapter, "precision": precision}

    def join(self, model: ModelRef, requests: Sequence[CompletionRequest], send: MemoryObjectSendStream[Item]) -> Guest:
        """Begin to serve somebody.

        Args:
            model: The base, and its adapter if any.
            requests: What to answer.
            send: As for `Guest`; with room for all answers and an error.
        """
        guest = Guest(f"guest-{next(self._names)}", model, requests, send)
        key = (model.name, model.precision or _PRECISION)
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = _Table([guest])
            # The provider's task group, not one of the asker's own: an asker may be left at any answer.
            self._context.tasks.start_soon(self._serve, key, table)
            return guest
        table.guests.append(guest)
        # While another base waits for its turn nobody gets in before it.
        stopper, alone = table.stopper, any(one.alone for one in table.guests)
        if stopper is not None and stopper.reason is None and len(self._tables) == 1 and not alone:
            table.seated.append(guest)
            stopper.note({"join": guest.asked()})
        return guest

    def leave(self, guest: Guest) -> None:
        """Serve somebody no more; does nothing for those who have all their answers."""
        for table in self._tables.values():
            if guest in table.guests:
                table.guests.remove(guest)
                guest.close()
                self._unseat(table, guest)

    def aclose(self) -> None:
        """Serve nobody any more."""
        for table in list(self._tables.values()):
            for guest in list(table.guests):
                self.leave(guest)

    def _unseat(self, table: _Table, guest: Guest) -> None:
        if guest not in table.seated:
            return
        table.seated.remove(guest)
        if table.stopper is not None and table.seated:
            table.stopper.note({"leave": guest.name})
        elif table.stopper is not None:
            table.stopper.stop("cancel")

    async def _serve(self, key: tuple[str, str], table: _Table) -> None:
        await anyio.sleep(_GATHER_S)
        try:
            while table.guests:
                alone = [guest for guest in table.guests if guest.alone]
                begun = list(table.guests) if not alone else alone[:1]
                try:
                    await self._call(key, table, begun)
                except BrokerError as error:
                    _troubled(table, error)
                else:
                    # Who joined while the op was about to end was not heard, and is served by the next call.
                    _see_off(table, [guest for guest in table.guests if guest.served or guest in begun])
                table.seated, table.stopper = [], None
        finally:
            del self._tables[key]
            _see_off(table, list(table.guests))

    async def _call(self, key: tuple[str, str], table: _Table, begun: Sequence[Guest]) -> None:
        name, precision = key
        table.seated, table.stopper = list(begun), Stopper()
        await self._build(name)
        if not table.seated:
            return
        args = {
            "model": self._resolve(name),
            "precision": precision,
            "batch_size": int(self._context.account.options.get("answer_batch_size", _DEFAULT_BATCH)),
            "sets": [guest.asked() for guest in begun if guest in table.seated],
        }

        def hear(event: dict[str, Any]) -> None:
            for guest in list(table.seated):
                if guest.name == event.get("set"):
                    _hear(table, guest, event)

        await self._context.workers.call("generate", args, on_event=hear, stopper=table.stopper)


def _hear(table: _Table, guest: Guest, event: Mapping[str, Any]) -> None:
    if event["kind"] == "answers":
        guest.told(event)
    elif event["kind"] == "failed":
        table.guests.remove(guest)
        table.seated.remove(guest)
        error = event["error"]
        guest.close(WorkerError(error["message"], kind=error["kind"], fix=error["fix"], where=error["where"]))


def _troubled(table: _Table, error: BrokerError) -> None:
    """Let guests go on whose call failed: again when its process died, alone when they were several."""
    died = isinstance(error, WorkerError) and error.kind == "died"
    for guest in [guest for guest in table.seated if guest in table.guests]:
        guest.deaths += died
        hopeless = guest.deaths > _RESTARTS if died else len(table.seated) == 1
        guest.alone = guest.deaths > 1 if died else True
        if hopeless:
            table.guests.remove(guest)
            guest.close(error)


def _see_off(table: _Table, guests: Sequence[Guest]) -> None:
    for guest in guests:
        table.guests.remove(guest)
        guest.close()


def _request(request: CompletionRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "messages": [dict(message) for message in request.messages],
        "temperature": request.decoding.temperature,
        "top_p": request.decoding.top_p,
        "max_tokens": request.decoding.max_tokens,
        "seed": request.decoding.seed,
        "stop": list(request.stop),
    }


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
