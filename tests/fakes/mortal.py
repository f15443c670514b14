"""Brokers that die in the middle, in one process: from a chosen moment on nothing of theirs reaches store or remote."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.store import open_store
from broker.providers.accounts import Accounts
from broker.scheduler import Scheduler
from broker.scheduler.parts import Parts
from broker.settings import load_settings
from broker.worker.pool import WorkerPool
from tests.fakes import scripted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.jobs.store import Store

WRITES = frozenset(
    """claim claim_working renew release disown transition update forget_wish append_events remember_upload add_model
    record_intent record_send record_unsent record_handle""".split()  # noqa: SIM905 - read like a table
)


class Died(BaseException):
    """The power is gone. Nothing catches it, as nothing catches a `kill -9`."""


@dataclass(slots=True)
class Fate:
    """When a broker dies.

    Attributes:
        left: Moments that it still sees; a moment is a write to the store, or a creating call. Minus one: it lives.
        done: Whether what happens at that moment still happens.
        dead: It has died.
    """

    left: int = -1
    done: bool = False
    dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self) -> bool:
        """Pass a moment; say whether it is the last one, and happens all the same."""
        with self._lock:
            if self.dead:
                raise Died
            self.left -= self.left > 0
            if self.left != 0:
                return False
            self.dead = not self.done
            if self.dead:
                raise Died
            return True

    def die(self) -> None:
        self.dead = True
        raise Died


class MortalStore:
    """The real store, for as long as its broker lives."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self.real, self._fate = store, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            last = self._fate.before() if name in WRITES else False
            if self._fate.dead:
                raise Died
            result = method(*args, **kwargs)
            if last:
                self._fate.die()
            return result

        return call


@dataclass(slots=True)
class World:
    """One store and one remote, and the brokers that come and go.

    Attributes:
        folder: Everything is kept here.
        options: Of the fake account.
        faults: What becomes of the next creating calls, whoever makes them: `ok`, `unsent`, `lost`, `vanished`.
    """

    folder: Path
    options: dict[str, Any]
    faults: list[str] = field(default_factory=list[str])

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder / 'broker.db'}")

    def run(self, fates: Sequence[Fate], until: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Let brokers live side by side until something is true, their time is over, or all have died."""
        anyio.run(self._run, fates, until, seconds)

    async def _run(self, fates: Sequence[Fate], until: Callable[[], Awaitable[bool]], seconds: float) -> None:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for fate in fates:
                    tasks.start_soon(self._live, fate)
                while not all(fate.dead for fate in fates) and not await until():  # noqa: ASYNC110 - of another's store
                    await anyio.sleep(0.02)
                tasks.cancel_scope.cancel()

    async def _live(self, fate: Fate) -> None:
        store = self.store()
        owner: list[str] = []
        try:
            async with anyio.create_task_group() as tasks:
                await self._drive(MortalStore(store, fate), fate, owner, tasks)
        except* Died:
            pass
        finally:
            with anyio.CancelScope(shield=True):
                # As the next start on this machine does with the leases of a process that is gone.
                await anyio.to_thread.run_sync(store.disown, owner[0])
                store.close()

    async def _drive(self, store: MortalStore, fate: Fate, owner: list[str], tasks: Any) -> None:
        account = {"kind": "fake", "options": self.options}
        settings = load_settings(overrides={"data_dir": self.folder, "providers": {"fake": account}})
        artifacts = Artifacts(self.folder / "artifacts")
        workers = WorkerPool(self.folder, tasks)
        mortal: Any = store
        accounts = Accounts(
            settings=settings, catalog=Catalog.load(), artifacts=artifacts, store=mortal, workers=workers, tasks=tasks
        )
        self._open(accounts, fate)
        parts = Parts(
            store=mortal,
            accounts=accounts,
            artifacts=artifacts,
            workers=workers,
            settings=settings,
            data_dir=self.folder,
        )
        scheduler = Scheduler(parts, lease_s=30.0, look_s=0.05)
        owner.append(scheduler.owner)
        try:
            await scheduler.run()
        finally:
            with anyio.CancelScope(shield=True):
                await accounts.aclose()

    def _open(self, accounts: Accounts, fate: Fate) -> None:
        script = scripted.begin()

        async def sending(_intent: object) -> None:
            fate.before()

        async def sent(_handle: object) -> None:
            if fate.before():
                fate.die()

        script.before |= {"submit": sending, "submitted": sent}
        script.faults = self.faults
        accounts.get("fake")
