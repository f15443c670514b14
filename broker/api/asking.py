"""The verbs about models: find one, ask it, take it home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.api.models import export_model, find_model, question
from broker.api.offline import SANDBOX
from broker.api.opened import Opened
from broker.errors import BrokerError
from broker.jobs.blocking import blocking
from broker.jobs.spec import Decoding, ModelRef

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.providers.contract import Answer, Completer, CompletionRequest


class Asking(Opened):
    """Models made here and elsewhere."""

    async def build_sandbox(self, *, encoder: bool = False, rebuild: bool = False) -> Path:
        """Make the sandbox model (or its sentence encoder) when it is missing.

        Args:
            encoder: The sentence encoder rather than the chat model.
            rebuild: Make it anew.

        Returns:
            Its folder.
        """
        return await self.offline.build(encoder=encoder, rebuild=rebuild)

    async def models(self) -> list[tuple[str, ModelRef, str | None]]:
        """Return (alias, model, job id) of every model that jobs made."""
        return await blocking(self._store.models)

    async def model(self, name: str) -> ModelRef:
        """Find a model by alias, by the id of the job that made it, or as `provider:name`.

        Raises:
            UnknownNameError: Nobody knows it.
        """
        return await blocking(find_model, name, self._store, self.settings, self.accounts)

    async def completer(self, model: str | ModelRef) -> Completer:
        """Return an object that asks a model."""
        found = model if isinstance(model, ModelRef) else await self.model(model)
        if found.name == SANDBOX:
            await self.build_sandbox()
        return self.accounts.get(found.provider).completer(found)

    async def complete(self, model: str | ModelRef, requests: Sequence[CompletionRequest]) -> list[Answer]:
        """Ask a model and return the answers in the order of the requests."""
        completer = await self.completer(model)
        try:
            answers = {answer.id: answer async for answer in completer.complete(requests)}
        finally:
            await completer.aclose()
        return [answers[request.id] for request in requests]

    async def chat(
        self, model: str | ModelRef, message: str, *, system: str | None = None, decoding: Decoding | None = None
    ) -> str:
        """Ask a model one question and return its answer.

        Raises:
            BrokerError: The model did not answer.
        """
        request = question(message, system=system, decoding=decoding)
        answer = (await self.complete(model, [request]))[0]
        if answer.failure:
            raise BrokerError(f"the model did not answer: {answer.failure}")
        return answer.text

    async def export(self, model: str | ModelRef, output: Path, *, merge: bool = False) -> dict[str, Any]:
        """Write a tuned local model to a folder.

        Args:
            model: The model, or the job that made it.
            output: A new folder.
            merge: Write a whole bf16 model, checked against the adapter's logits, rather than the adapter.

        Returns:
            `output`, and with `merge` how far the logits differ.

        Raises:
            UserError: The model has no adapter, or the folder exists.
        """
        found = model if isinstance(model, ModelRef) else await self.model(model)
        return await export_model(found, output, merge=merge, settings=self.settings, workers=self.workers)
