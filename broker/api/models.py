"""Finds models by what a person calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.api.offline import SANDBOX
from broker.errors import UnknownNameError
from broker.jobs.spec import Decoding, ModelRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts
    from broker.providers.contract import CompletionRequest
    from broker.settings import Settings


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
        if name in (alias, job_id, model.name):
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
