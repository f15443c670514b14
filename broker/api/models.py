"""Finds models by what a person calls them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from broker.api.offline import SANDBOX
from broker.errors import UnknownNameError, UserError
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.registry import exporter
from broker.sandbox import model_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts
    from broker.providers.contract import CompletionRequest
    from broker.settings import Settings
    from broker.worker.pool import WorkerPool


def find_model(name: str, store: Store, settings: Settings, accounts: Accounts) -> ModelRef:
    """Find a model by alias, by the id of the job that made it, or as `provider:name`.

    Args:
        name: What a person typed.
        store: Knows the models that jobs made.
        settings: Names the accounts.
        accounts: Pin names to snapshots.

    Raises:
        UnknownNameError: Nobody knows it.
    """
    for alias, model, job_id in store.models():
        called = (alias, job_id) if model.adapter else (alias, job_id, model.name)  # an adapter has its base's name
        if name in called:
            return model
    if name == SANDBOX:
        return ModelRef(provider="local", name=SANDBOX)
    account, _, rest = name.partition(":")
    if rest and account in settings.account_names():
        return ModelRef(provider=account, name=accounts.get(account).pin(rest))
    try:
        job = store.job(name)
    except UnknownNameError as error:
        fix = "broker models lists those made here; any other as PROVIDER:NAME, such as local:sandbox"
        raise UnknownNameError(f"no model is called {name!r}", fix=fix) from error
    if job.model is None:
        raise UnknownNameError(f"the job {job.id} is {job.state}: it has no model", fix=f"broker watch {job.id}")
    return job.model


def question(message: str, *, system: str | None = None, decoding: Decoding | None = None) -> CompletionRequest:
    """Return one question as a request.

    Args:
        message: The user's words.
        system: The system message, if any.
        decoding: How the answer is drawn.
    """
    from broker.providers.contract import CompletionRequest

    said: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages = (*said, {"role": "user", "content": message})
    return CompletionRequest(id="chat", messages=messages, decoding=decoding or Decoding())


async def export_model(
    model: ModelRef, output: Path, *, merge: bool, settings: Settings, workers: WorkerPool
) -> dict[str, Any]:
    """Write a tuned model to a folder: its adapter, or with `merge` the whole model.

    Args:
        model: A tuned local model.
        output: A folder that does not exist.
        merge: Merge the adapter into a bf16 model.
        settings: Tell the kind of the model's account and the cache folder.
        workers: The torch processes.

    Raises:
        UserError: The model has no adapter, its provider cannot export, or the folder exists.
    """
    write = exporter(settings.account(model.provider).kind)
    if model.adapter is None or write is None:
        raise UserError(f"{model.label} has no adapter here to export", fix="name a succeeded local tuning job")
    if await to_thread.run_sync(output.exists):
        raise UserError(f"{output} exists", where="--output", fix="name a folder that does not exist")
    if merge:
        base = str(model_dir(settings.cache_dir)) if model.name == SANDBOX else None
        return await write(workers, model, output, base=base)
    await to_thread.run_sync(_copy, Path(model.adapter), output)
    return {"output": str(output)}


def _copy(adapter: Path, output: Path) -> None:
    """Copy a folder; a half copy never has the wanted name."""
    part = output.with_name(f".{output.name}.part")
    shutil.copytree(adapter, part)
    part.rename(output)
