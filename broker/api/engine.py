"""What works behind an open broker: the store, the providers, the torch processes and the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

from anyio import CancelScope, Event, create_task_group, get_cancelled_exc_class, move_on_after, sleep

from broker.errors import StoreError
from broker.jobs.blocking import blocking
from broker.settings import BATCH

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup

    from broker.jobs.store.protocol import Store
    from broker.scheduler import Scheduler
    from broker.settings import Settings

_ACCOUNTS = "account"
_LOOK_S = 5.0
# A driver that does not put down its work within this time is left behind, seconds.
_REST_S = 20.0

Report = Callable[[str, int, int], None]


def silent(_text: str, _done: int, _total: int) -> None:
    """Report nothing."""


class Engine:
    """Opens the parts in order and closes them in the reverse order."""

    def __init__(self, settings: Settings, *, report: Report, changed: Callable[[], None]) -> None:
        """Keep what to open; nothing is opened yet.

        Args:
            settings: All settings.
            report: Receives (text, done, total) of long steps.
            changed: Called when something was written to the store.
        """
        self._settings = settings
        self._report = report
        self._changed = changed
        self._stack = AsyncExitStack()
        self._scheduler: Scheduler | None = None
        self._driving = CancelScope()
        self._rested = Event()
        self._watching = CancelScope()

    async def open(self, *, drive: bool) -> None:
        """Open everything; with `drive`, begin to drive. What was opened is closed again when the rest fails."""
        from broker.jobs.artifacts import Artifacts
        from broker.jobs.store import open_store

        self.artifacts = await blocking(Artifacts, self._settings.data_dir / "artifacts")
        try:
            self.store: Store = await blocking(open_store, self._settings.store_url, secrets=self._secrets())
            self._stack.callback(self.store.close)
            self._tasks: TaskGroup = await self._stack.enter_async_context(create_task_group())
            self._open_accounts()
            await self._remember_addresses()
            if drive:
                self._start_scheduler()
                self._tasks.start_soon(self._watch_addresses)
        except BaseException as error:
            await self._close_stack(type(error), error, error.__traceback__)
            raise

    def _secrets(self) -> list[str]:
        """Return the keys that must be hidden in whatever is stored."""
        keys = [account.api_key for account in self._settings.providers.values()] + [self._settings.hf_token]
        return [key.get_secret_value() for key in keys if key is not None]

    async def note_account(self, name: str) -> None:
        """Note an account at an address or by batches, so that every broker on this store can go on with its jobs."""
        if "@" in name or "://" in name or name.endswith(BATCH):
            await blocking(self.store.put_document, _ACCOUNTS, name, {})
            self._settings.remember(name)

    async def _watch_addresses(self) -> None:
        with self._watching:
            while True:
                await sleep(_LOOK_S)
                await self._remember_addresses()

    async def _remember_addresses(self) -> None:
        for name in await blocking(self.store.documents, _ACCOUNTS):
            self._settings.remember(name)

    def poke(self) -> None:
        """Tell the scheduler, if there is one, that there is something to do."""
        if self._scheduler is not None:
            self._scheduler.poke()

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop driving, let local work reach a checkpoint, give the leases back."""
        try:
            with CancelScope(shield=True):
                self._driving.cancel()
                self._watching.cancel()
                await self._rest()
                try:
                    await self.accounts.aclose()
                finally:
                    await self.workers.aclose()
        finally:
            if error is None:
                self._tasks.cancel_scope.cancel()
            closed = await self._close_stack(kind, error, trace)
        return closed

    async def _close_stack(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise plain(group) from None

    async def _rest(self) -> None:
        """Let the scheduler put down what it has in hand, before its providers are closed under it."""
        if self._scheduler is not None:
            with move_on_after(_REST_S):
                await self._rested.wait()

    def _open_accounts(self) -> None:
        from broker.catalog import Catalog
        from broker.providers.accounts import Accounts
        from broker.worker.pool import WorkerPool

        settings = self._settings
        self.catalog = Catalog.load(settings.catalog_path)
        token = {"HF_TOKEN": settings.hf_token.get_secret_value()} if settings.hf_token else {}
        self.workers = WorkerPool(settings.data_dir, self._tasks, device=settings.device, env=token)
        self.accounts = Accounts(
            settings=settings,
            catalog=self.catalog,
            artifacts=self.artifacts,
            store=self.store,
            workers=self.workers,
            tasks=self._tasks,
            report=self._report,
        )

    def _start_scheduler(self) -> None:
        from broker.scheduler import Scheduler
        from broker.scheduler.parts import Parts

        parts = Parts(
            store=self.store,
            accounts=self.accounts,
            artifacts=self.artifacts,
            workers=self.workers,
            settings=self._settings,
            data_dir=self._settings.data_dir,
            changed=self._changed,
        )
        self._scheduler = Scheduler(parts, lease_s=self._settings.lease_s)
        self._tasks.start_soon(self._drive, self._scheduler)

    async def _drive(self, scheduler: Scheduler) -> None:
        try:
            with self._driving:
                await scheduler.run()
        finally:
            self._rested.set()


def plain(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error of a group that says most to a person, where there is one; a group says less."""
    leaves = [leaf for leaf in _leaves(group) if not isinstance(leaf, get_cancelled_exc_class())]
    stores = [leaf for leaf in leaves if isinstance(leaf, StoreError)]
    if stores:  # many jobs meet the same full disk at once
        return stores[0]
    return leaves[0] if len(leaves) == 1 else group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", error))
        else:
            yield error
