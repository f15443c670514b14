"""Answers of a local model, as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import BrokerError
from broker.providers.contract import Answer
from broker.providers.local.gathering import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.jobs.spec import ModelRef
    from broker.providers.contract import CompletionRequest
    from broker.providers.local.gathering import Gathering, Guest


class LocalCompleter:
    """Asks one local model. The batches are planned over all requests of a call, the longest prompts first.

    Attributes:
        holds_schema: Nothing here could hold it to a JSON schema, so it is not to be asked with one.
    """

    holds_schema = False

    def __init__(self, model: ModelRef, gathering: Gathering) -> None:
        """Keep the model.

        Args:
            model: The base, and its adapter if any.
            gathering: Serves all who ask models of this machine.
        """
        self._model = model
        self._gathering = gathering
        self._guests: set[Guest] = set()

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
        if not askable:
            return
        send, receive = anyio.create_memory_object_stream[Item](len(askable) + 1)
        guest = self._gathering.join(self._model, askable, send)
        self._guests.add(guest)
        try:
            async with receive:
                async for item in receive:
                    if isinstance(item, BrokerError):
                        raise item
                    yield item
        finally:
            self._guests.discard(guest)
            self._gathering.leave(guest)

    async def loaded(self) -> dict[str, Any]:
        """Return what the workers' ops take to load this model; the sandbox is built when it is not there yet."""
        return await self._gathering.loaded(self._model)

    async def aclose(self) -> None:
        """Stop what still runs."""
        for guest in list(self._guests):
            self._gathering.leave(guest)
