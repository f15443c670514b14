"""What this machine can do and what is missing, each with the fix."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from broker.settings import Account, Settings

_EXTRAS = {
    "local": ("torch", "transformers", "peft", "bitsandbytes", "accelerate"),
    "similarity": ("sentence_transformers",),
    "ifeval": ("langdetect", "nltk", "punkt"),
    "server": ("starlette", "uvicorn", "multipart"),
    "postgres": ("psycopg",),
    "parquet": ("pyarrow",),
}
_ROOM_GB = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    name: str
    good: bool
    text: str
    fix: str = ""

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything.

    Args:
        settings: All settings.

    Returns:
        Findings, good and bad; none of them holds a secret.
    """
    return [
        Finding(name="python", good=sys.version_info >= (3, 11), text=platform.python_version()),
        Finding(name="finetune-broker", good=True, text=_version("finetune-broker")),
        *(_extra(name, modules) for name, modules in _EXTRAS.items()),
        _store(settings),
        _room(settings),
        *_accounts(settings),
        _sandbox(settings),
        *_device(settings),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if find_spec(module) is None]
    fix = f"pip install 'finetune-broker[{name}]'" if missing else ""
    text = f"missing: {', '.join(missing)}" if missing else f"{modules[0]} {_version(modules[0])}"
    return Finding(name=f"extra {name}", good=not missing, text=text, fix=fix)


def _store(settings: Settings) -> Finding:
    from broker.errors import BrokerError
    from broker.jobs.store import open_store

    kind = settings.store_url.partition(":")[0]
    try:
        store = open_store(settings.store_url)
        count = sum(store.count_jobs().values())
        store.close()
    except BrokerError as error:
        return Finding(name="store", good=False, text=f"{kind}: {error.message}", fix=error.fix)
    return Finding(name="store", good=True, text=f"{kind}, {count} jobs")


def _room(settings: Settings) -> Finding:
    free_gb = shutil.disk_usage(settings.data_dir if settings.data_dir.exists() else "/").free / 1e9
    fix = "" if free_gb > _ROOM_GB else "free some space, or set BROKER_DATA_DIR to another disk"
    return Finding(name="disk", good=free_gb > _ROOM_GB, text=f"{free_gb:.0f} GB free at {settings.data_dir}", fix=fix)


def _accounts(settings: Settings) -> list[Finding]:
    needs_key = [name for name in settings.account_names() if settings.account(name).kind in ("openai", "gemini")]
    return [_account(settings, name) for name in needs_key]


def _account(settings: Settings, name: str) -> Finding:
    account = settings.account(name)
    where = account.base_url or "the provider's own address"
    if account.api_key is None:
        return Finding(name=f"account {name}", good=False, text="no key", fix=f"set {_key_variable(account)}")
    return Finding(name=f"account {name}", good=True, text=f"key set, {where}")


def _key_variable(account: Account) -> str:
    """Return the variable that people know for a built-in account, else the account's own."""
    from broker.settings.sources import key_variables

    return key_variables(account.name, account.kind)[1 if account.name == account.kind else 0]


def _sandbox(settings: Settings) -> Finding:
    from broker.sandbox import is_built, model_dir

    built = is_built(model_dir(settings.cache_dir))
    fix = "" if built else "broker models build sandbox"
    return Finding(name="sandbox", good=built, text="made" if built else "not made yet", fix=fix)


def _device(settings: Settings) -> list[Finding]:
    """Ask a torch process what it has; torch never enters this one."""
    if find_spec("torch") is None:
        return []

    from broker.errors import BrokerError
    from broker.worker.pool import WorkerPool

    async def ask() -> dict[str, Any]:
        found: dict[str, Any] = {}
        async with anyio.create_task_group() as tasks:
            pool = WorkerPool(settings.data_dir, tasks, device=settings.device)
            try:
                found = await pool.call("describe", {}, lane="doctor")
            finally:
                await pool.aclose()
        return found

    try:
        found = anyio.run(ask)
    except BrokerError as error:
        return [Finding(name="torch", good=False, text=error.message, fix=error.fix)]
    words = ", ".join(f"{key} {value}" for key, value in found.items() if isinstance(value, str | int | float))
    precisions = ", ".join(found.get("precisions", ()))
    return [
        Finding(name="device", good=True, text=words),
        Finding(name="precisions", good=bool(precisions), text=precisions),
    ]
