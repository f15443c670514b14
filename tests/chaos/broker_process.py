"""A broker in a process of its own that dies by `kill -9` right before or right after a named step.

A step is a call to the store or to the provider: `before:record_send`, `after:submit`. The product knows nothing of
this: the store and the provider are wrapped.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

import broker.jobs.store
import broker.providers.accounts
from broker.api import Broker
from broker.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

STORE_STEPS = (
    "claim", "transition", "record_intent", "record_send", "record_unsent", "record_handle", "update", "append_events",
    "upload", "remember_upload", "forget_upload", "intent", "release", "renew",
)  # fmt: skip
PROVIDER_STEPS = ("check", "prepare", "submit", "find", "poll", "events")
_stores: Any = broker.jobs.store
_accounts: Any = broker.providers.accounts
_open_store, _open_provider = _stores.open_store, _accounts.open_provider


@dataclass
class Death:
    """When to die.

    Attributes:
        step: `before:NAME` or `after:NAME`; empty is never.
        nth: At which call of that name.
        after_s: Seconds after the start; 0 is never.
    """

    step: str = ""
    nth: int = 1
    after_s: float = 0.0
    calls: Counter[str] = field(default_factory=Counter[str])

    def at(self, step: str) -> None:
        """Die if it is time."""
        self.calls[step] += 1
        if step == self.step and self.calls[step] == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A store or provider whose steps may be the last."""

    def __init__(self, real: Any, death: Death, steps: tuple[str, ...]) -> None:
        self._real, self._death, self._steps = real, death, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._mortal(name, found) if name in self._steps else found

    def _mortal(self, name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._death.at(f"before:{name}")
            result = real(*args, **kwargs)
            if hasattr(result, "__await__"):
                return self._after(name, result)
            self._death.at(f"after:{name}")
            return result

        return call

    async def _after(self, name: str, result: Any) -> Any:
        found = await result
        self._death.at(f"after:{name}")
        return found


async def live(folder: Path, account: dict[str, Any], death: Death) -> None:
    """Drive the jobs of a store until all of them rest.

    Args:
        folder: The data folder.
        account: Settings of the account `openai`.
        death: When to die.
    """
    _stores.open_store = lambda *args, **kwargs: Mortal(_open_store(*args, **kwargs), death, STORE_STEPS)
    _accounts.open_provider = lambda context: Mortal(_open_provider(context), death, PROVIDER_STEPS)
    overrides = {
        "data_dir": folder / "data",
        "cache_dir": folder / "cache",
        "lease_s": 1.0,
        "providers": {"openai": account},
    }
    async with anyio.create_task_group() as tasks:
        if death.after_s:
            tasks.start_soon(_die_later, death.after_s)
        async with Broker(load_settings(overrides=overrides)) as broker:
            await broker.wait(experiment="chaos")
        tasks.cancel_scope.cancel()


async def _die_later(seconds: float) -> None:
    await anyio.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)
