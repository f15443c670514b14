"""The accounts in use: one provider object each, opened when first needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import CancelScope, current_time

from broker.jobs.blocking import blocking
from broker.providers.contract import Capabilities, Provider, ProviderContext
from broker.providers.registry import open_provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from broker.catalog import Catalog
    from broker.jobs.artifacts import Artifacts
    from broker.jobs.store.protocol import Store
    from broker.settings import Settings
    from broker.worker.pool import WorkerPool

# A provider that does not let go within this time is left behind.
_CLOSE_S = 30.0


class StoredUploads:
    """The store's upload ledger of one account."""

    def __init__(self, store: Store, account: str) -> None:
        """Bind the ledger to an account.

        Args:
            store: The store.
            account: The account's name.
        """
        self._store = store
        self._account = account

    async def get(self, sha256: str, purpose: str) -> str | None:
        """Return the remote id of content uploaded before."""
        return await blocking(self._store.upload, self._account, sha256, purpose)

    async def put(self, sha256: str, purpose: str, remote_id: str) -> None:
        """Note an upload, before it is used."""
        await blocking(self._store.remember_upload, self._account, sha256, purpose, remote_id)

    async def forget(self, remote_id: str) -> None:
        """Note that a remote file is gone."""
        await blocking(self._store.forget_upload, self._account, remote_id)


class Accounts:
    """Providers by account name."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        artifacts: Artifacts,
        store: Store,
        workers: WorkerPool,
        tasks: TaskGroup,
        report: Callable[[str, int, int], None] = lambda _text, _done, _total: None,
    ) -> None:
        """Keep what every provider is built with.

        Args:
            settings: Names the accounts.
            catalog: Models and prices.
            artifacts: Content-addressed files.
            store: Keeps the upload ledgers.
            workers: The torch processes.
            tasks: Task group for the providers' background work.
            report: Receives (text, done, total) of long steps.
        """
        self._settings = settings
        self._catalog = catalog
        self._artifacts = artifacts
        self._store = store
        self._workers = workers
        self._tasks = tasks
        self._report = report
        self._open: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """Return the provider of an account, opened now if need be.

        Args:
            name: The account's name.

        Raises:
            UserError: No such account, a missing package, a missing key.
        """
        if name not in self._open:
            self._open[name] = open_provider(self._context(name))
        return self._open[name]

    def capabilities(self, name: str) -> Capabilities:
        """Return what an account can do, with the person's own figures in place of the provider's."""
        account, settings, own = self._settings.account(name), self._settings, self.get(name).capabilities
        graces = (account.grace_s, settings.grace_s, own.grace_s)
        return replace(
            own,
            grace_s=next(grace for grace in graces if grace is not None),
            poll_s=account.poll_s or settings.poll_s or own.poll_s,
            concurrency=account.concurrency or own.concurrency,
        )

    def names(self) -> list[str]:
        """Return the accounts opened so far."""
        return list(self._open)

    async def aclose(self) -> None:
        """Close every provider; local work stops at a checkpoint."""
        for provider in self._open.values():
            with CancelScope(shield=True, deadline=current_time() + _CLOSE_S):
                await provider.aclose()
        self._open.clear()

    def _context(self, name: str) -> ProviderContext:
        return ProviderContext(
            name=name,
            account=self._settings.account(name),
            catalog=self._catalog,
            artifacts=self._artifacts,
            uploads=StoredUploads(self._store, name),
            data_dir=Path(self._settings.data_dir),
            cache_dir=Path(self._settings.cache_dir),
            hf_token=self._settings.hf_token,
            workers=self._workers,
            tasks=self._tasks,
            report=self._report,
        )
