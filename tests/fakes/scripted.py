"""The fake provider, made to misbehave: a test says what happens at which call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker.providers.contract import RemoteStatus
from broker.providers.fake.provider import FakeCompleter, FakeProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.jobs.records import Handle, Intent
    from broker.jobs.spec import ModelRef
    from broker.providers.contract import (
        Answer,
        Capabilities,
        Completer,
        CompletionRequest,
        ProviderContext,
        RemoteEvent,
        Verdict,
    )

KIND = "tests.fakes.scripted:create"


@dataclass(slots=True)
class Script:
    """What happens.

    Attributes:
        before: By the name of a method: called with its arguments before the fake does its part; may raise.
        capabilities: What the account announces differently.
        statuses: Changes what a poll found.
        calls: How often each method was called.
        faults: What becomes of the next creating calls, as the fake's option `faults` says it; used up.
    """

    before: dict[str, Callable[..., Awaitable[None]]] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    statuses: Callable[[dict[str, RemoteStatus]], Mapping[str, RemoteStatus]] = dict
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list[str])

    async def step(self, name: str, *args: object) -> None:
        self.calls[name] += 1
        if name in self.before:
            await self.before[name](*args)


_script = Script()


def begin() -> Script:
    """Return a new script, used by every provider made from now on."""
    global _script
    _script = Script()
    return _script


def create(context: ProviderContext) -> ScriptedProvider:
    return ScriptedProvider(context, _script)


class ScriptedProvider(FakeProvider):
    def __init__(self, context: ProviderContext, script: Script) -> None:
        if "open" in script.before:
            raise ValueError("the key is not a key")
        super().__init__(context)
        self._script = script

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, **self._script.capabilities)

    async def prepare(self, intent: Intent) -> None:
        await self._script.step("prepare", intent)
        await super().prepare(intent)

    async def submit(self, intent: Intent) -> Handle:
        await self._script.step("submit", intent)
        handle = await super().submit(intent)
        await self._script.step("submitted", handle)
        return handle

    async def find(self, intent: Intent) -> Handle | None:
        await self._script.step("find", intent)
        return await super().find(intent)

    async def poll(self, handles: Sequence[Handle]) -> Mapping[str, RemoteStatus]:
        await self._script.step("poll", handles)
        return self._script.statuses(dict(await super().poll(handles)))

    async def events(self, handle: Handle, after: str | None) -> AsyncIterator[RemoteEvent]:
        await self._script.step("events", handle, after)
        async for event in super().events(handle, after):
            yield event

    async def cancel(self, handle: Handle) -> None:
        await self._script.step("cancel", handle)
        await super().cancel(handle)

    async def pause(self, handle: Handle) -> None:
        await self._script.step("pause", handle)
        await super().pause(handle)

    async def resume(self, handle: Handle) -> None:
        await self._script.step("resume", handle)
        await super().resume(handle)

    def completer(self, model: ModelRef) -> Completer:
        return _ScriptedCompleter(model, self._script)

    def _next_fault(self) -> str:
        return self._script.faults.pop(0) if self._script.faults else super()._next_fault()

    def classify(self, error: BaseException) -> Verdict:
        if "classify" in self._script.before:
            raise KeyError("classify")
        return super().classify(error)


class _ScriptedCompleter(FakeCompleter):
    def __init__(self, model: ModelRef, script: Script) -> None:
        super().__init__(model)
        self._model = model
        self._script = script

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        await self._script.step("complete", self._model)
        async for answer in super().complete(requests):
            yield answer
