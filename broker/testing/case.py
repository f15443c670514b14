"""A provider under test, with a real store and real files around it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import create_task_group

from broker.catalog import Catalog
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import read_dataset, store_dataset
from broker.jobs.ids import new_intent_key
from broker.jobs.records import Intent
from broker.jobs.spec import DatasetRef, Method, ParameterValue, TuneSpec
from broker.jobs.store import open_store
from broker.providers.accounts import Accounts
from broker.providers.contract import Provider
from broker.settings import Account, Settings, load_settings
from broker.worker.pool import WorkerPool

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCase:
    """What the suite needs to know about a provider.

    Attributes:
        account: The account's settings.
        model: A base model that it can tune and ask.
        name: What the account is called.
        parameters: Hyperparameters of a short job.
        patience_s: How long a short job may take, seconds.
        settings: Further settings by name.
        deterministic: The same greedy request gives the same text.
    """

    account: Account
    model: str
    name: str = "under-test"
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    patience_s: float = 60.0
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    deterministic: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """A provider that is open, and data for it."""

    case: ProviderCase
    provider: Provider
    train: DatasetRef

    def spec(self, **changes: Any) -> TuneSpec:
        """Return the spec of a short job."""
        values: dict[str, Any] = {
            "provider": self.case.name,
            "model": self.provider.pin(self.case.model),
            "train": self.train,
            "method": Method.SFT,
            "parameters": dict(self.case.parameters),
        }
        return TuneSpec(**{**values, **changes})

    def intent(self, **changes: Any) -> Intent:
        """Return a new intent of a short job."""
        return Intent(
            key=new_intent_key(),
            job_id="tune-conformance",
            attempt=1,
            spec=self.spec(**changes),
            created_at=datetime.now(UTC),
        )


@asynccontextmanager
async def open_case(case: ProviderCase, folder: Path) -> AsyncGenerator[OpenCase]:
    """Open the provider of a case in a folder of its own.

    Args:
        case: What to open.
        folder: Receives the store, the artifacts and the provider's own files.
    """
    account = {"kind": case.account.kind, **case.account.model_dump(exclude_defaults=True, exclude={"name", "kind"})}
    overrides = {"data_dir": folder / "data", "cache_dir": folder / "cache", **case.settings}
    settings: Settings = load_settings(overrides={**overrides, "providers": {case.name: account}})
    artifacts = Artifacts(settings.data_dir / "artifacts")
    store = open_store(settings.store_url)
    async with create_task_group() as tasks:
        workers = WorkerPool(settings.data_dir, tasks)
        accounts = Accounts(
            settings=settings,
            catalog=Catalog.load(),
            artifacts=artifacts,
            store=store,
            workers=workers,
            tasks=tasks,
        )
        try:
            train = store_dataset(read_dataset(_write_rows(folder)), artifacts)
            yield OpenCase(case=case, provider=accounts.get(case.name), train=train)
        finally:
            await accounts.aclose()
            await workers.aclose()
            store.close()
        tasks.cancel_scope.cancel()


def _write_rows(folder: Path) -> Path:
    path = folder / "train.jsonl"
    words = ["oak", "rain", "iron", "bread", "music", "winter", "river", "glass", "paper", "wheel", "honey", "stone"]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What can one say about {words[index]}?"},
                {"role": "assistant", "content": f"There is much to like about {words[index]}."},
            ]
        }
        for index in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
