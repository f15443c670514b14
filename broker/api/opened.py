"""An open broker: what every verb of `Broker` works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from broker.api.control import Control
from broker.api.engine import Engine, Report, silent
from broker.api.following import Watcher
from broker.api.offline import OfflineModels
from broker.api.planning import Planner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from broker.jobs.store.protocol import Store
    from broker.settings import Settings


class Opened:
    """Opens the parts and closes them; the verbs are in the classes that stand on it."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        drive: bool = True,
        report: Report = silent,
        **overrides: Any,
    ) -> None:
        """Choose the settings; nothing is opened yet.

        Args:
            settings: All settings; loaded from flags, environment and `broker.toml` when None.
            drive: Drive jobs. With False it only reads and writes the store.
            report: Receives (text, done, total) of long steps such as uploads.
            overrides: Settings by name, stronger than every other source.
        """
        self._given = settings
        self._overrides = overrides
        self._drive = drive
        self._report = report
        self._watcher = Watcher()

    async def __aenter__(self) -> Self:
        """Open the store and, with `drive`, begin to drive."""
        self.settings: Settings = self._given or _load(self._overrides)
        self._engine = Engine(self.settings, report=self._report, changed=self._watcher.poke)
        await self._engine.open(drive=self._drive)
        self._store: Store = self._engine.store
        self.data_dir: Path = self.settings.data_dir
        self.catalog, self.accounts, self.workers = self._engine.catalog, self._engine.accounts, self._engine.workers
        self._planner = Planner(
            settings=self.settings, store=self._store, artifacts=self._engine.artifacts, accounts=self.accounts
        )
        self._control = Control(self._store, self.accounts, self._engine.poke)
        self.offline = OfflineModels(self.settings.cache_dir, self.workers, self._report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop driving, let local work reach a checkpoint, give the leases back."""
        return await self._engine.close(kind, error, trace)


def _load(overrides: Mapping[str, Any]) -> Settings:
    from broker.settings import load_settings

    return load_settings(overrides=overrides)
