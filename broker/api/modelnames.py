"""Reads what a person typed for a model to judge.

| typed | meaning |
|---|---|
| `openai:ft:gpt-4o-mini-2024-07-18:org::id` | ACCOUNT:NAME; everything after the first colon is the name |
| `ft:gpt-4o-mini-2024-07-18:org::id` | the same at the account `openai` |
| `http://host:8000/v1#NAME` | a server that speaks OpenAI's protocol; no key is sent to it |
| `openai@http://host:8000/v1:NAME` | the same with the key of an account; `#` does as well |
| `local:FOLDER`, or the folder itself | a model, or a PEFT adapter: its base stands in its `adapter_config.json` |
| `local:ORGANISATION/NAME` | a model of the Hugging Face hub |
| `sandbox`, `local:sandbox` | the offline model |
| `tune-…`, `eval-…`, an alias | the model of a job here, running or done; the beginning of an id is enough |
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from broker.api.offline import SANDBOX
from broker.api.request import ModelRequest
from broker.errors import UnknownNameError, UserError
from broker.jobs.spec import EvaluateSpec, ModelRef, TuneSpec
from broker.jobs.states import JobKind, State
from broker.sandbox import model_dir

if TYPE_CHECKING:
    from broker.jobs.records import Job
    from broker.jobs.store.protocol import Store
    from broker.providers.accounts import Accounts
    from broker.settings import Settings

WHERE = "--model"
_LOCAL = "local"
# A URL ends at `#`, or at a colon that begins no port.
_URL = re.compile(
    r"(?:(?P<account>[^@:/\s]+)@)?(?P<url>https?://(?:\[[0-9A-Fa-f:]+\]|[^/:#@\s]+)(?::\d+(?![^/:#]))?(?:/[^:#\s]*)?)"
    r"(?:[#:](?P<name>.*))?"
)
_JOB_ID = re.compile(r"(?:tune|eval|synth)-\S*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_DEAD = frozenset({State.FAILED, State.CANCELLED, State.LOST})


class ModelNames:
    """Turns names into requests; looks at the settings, the store and the disk, never at the network."""

    def __init__(self, store: Store, settings: Settings, accounts: Accounts) -> None:
        """Keep where names are looked up.

        Args:
            store: Knows the models of jobs.
            settings: Names the accounts.
            accounts: Announce which precision is usual.
        """
        self._store = store
        self._settings = settings
        self._accounts = accounts

    def read(self, text: str, *, base: str | None = None, precision: str | None = None) -> ModelRequest:
        """Return the model that a name means (blocking).

        Args:
            text: As in the head of this module.
            base: The base of an adapter whose own word for it does not help.
            precision: Of the weights of local models.

        Raises:
            UserError: Nobody knows it, or it cannot be asked; the message names the nearest.
        """
        name = text.strip()
        if found := _URL.fullmatch(name):
            return self._at_address(name, **found.groupdict())
        account, colon, rest = name.partition(":")
        if colon and account in self._account_names():
            return self._at_account(account, rest.strip(), base=base, precision=precision)
        if name == SANDBOX:
            return self._local(SANDBOX, base=base, precision=precision)
        job = self._job(name)
        if job is not None:
            return self._of_job(job)
        if name.startswith("ft:"):
            return ModelRequest(provider="openai", model=name)
        if name and Path(name).expanduser().is_dir():
            return self._local(name, base=base, precision=precision)
        return self._unknown(name)

    def _account_names(self) -> set[str]:
        from broker.settings.model import installed_kinds

        return {*self._settings.account_names(), *installed_kinds()}

    def _at_address(self, text: str, *, account: str | None, url: str, name: str | None) -> ModelRequest:
        if not (name or "").strip():
            raise UserError(f"{text!r} names no model of that server", where=WHERE, fix=f"{text.rstrip('#:')}#MODEL")
        address = url.rstrip("/")
        named = f"{account}@{address}" if account else address
        self._settings.account(named)
        return ModelRequest(provider=named, model=(name or "").strip())

    def _at_account(self, account: str, name: str, *, base: str | None, precision: str | None) -> ModelRequest:
        if not name:
            raise UserError(f"{account}: names no model", where=WHERE, fix=f"{account}:MODEL")
        if self._settings.account(account).kind == _LOCAL:
            return self._local(name, account=account, base=base, precision=precision)
        for _, model, job_id in self._store.models():
            if job_id is not None and (model.provider, model.name) == (account, name):
                return self._of_job(self._store.job(job_id))
        return ModelRequest(provider=account, model=name)

    def _local(self, name: str, *, account: str = _LOCAL, base: str | None, precision: str | None) -> ModelRequest:
        precision = precision or self._usual_precision(account)
        folder = Path(name).expanduser()
        if name != SANDBOX and (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            return self._adapter(folder.resolve(), account, base, precision)
        return ModelRequest(
            provider=account, model=str(folder.resolve()) if folder.is_dir() else name, precision=precision
        )

    def _usual_precision(self, account: str) -> str | None:
        """Return the precision that tuning jobs have when none is named, so that bases are asked in the same."""
        announced = {one.name: one.default for one in self._accounts.get(account).capabilities.parameters}
        usual = announced.get("precision")
        return str(usual) if usual else None

    def _adapter(self, folder: Path, account: str, base: str | None, precision: str | None) -> ModelRequest:
        for _, model, job_id in self._store.models():
            if job_id is not None and model.adapter is not None and Path(model.adapter).resolve() == folder:
                return self._of_job(self._store.job(job_id))
        name = self._base(folder, base)
        return ModelRequest(
            provider=account, model=name, adapter=str(folder), precision=precision, label=_title(folder)
        )

    def _base(self, folder: Path, given: str | None) -> str:
        """Return the base of an adapter: the one given, or the one that the adapter names."""
        noted = _noted_base(folder)
        fix = f"--base MODEL: a folder, a hub id, or {SANDBOX}"
        if given is None and not noted:
            raise UserError("the adapter does not say what its base is", where=str(folder), fix=fix)
        name = given or noted
        path = Path(name).expanduser()
        if name == SANDBOX or (path.is_dir() and path.resolve() == model_dir(self._settings.cache_dir).resolve()):
            return SANDBOX
        if path.is_dir():
            return str(path.resolve())
        if not _HUB_ID.fullmatch(name) and self._accounts.get(_LOCAL).check_model(ModelRef(provider=_LOCAL, name=name)):
            what = f"the base {name!r} is not on this disk" + ("" if given else ", says its adapter_config.json")
            raise UserError(what, where=str(folder), fix=fix)
        return name

    def _job(self, name: str) -> Job | None:
        for alias, model, job_id in self._store.models():
            if job_id is not None and name in (alias, job_id, model.name):
                return self._store.job(job_id)
        try:
            return self._store.job(name) if name else None
        except UnknownNameError:
            if _JOB_ID.fullmatch(name):
                raise
            return None

    def _of_job(self, job: Job) -> ModelRequest:
        spec = job.spec
        if isinstance(spec, TuneSpec):
            if job.state in _DEAD:
                fix = f"broker resume {job.id}, or name another"
                raise UserError(f"the job {job.id} is {job.state}: it has no model to judge", where=WHERE, fix=fix)
            return ModelRequest(provider=spec.provider, tune_job=job.id, label=job.label)
        if isinstance(spec, EvaluateSpec) and spec.tune_job is not None:
            return self._of_job(self._store.job(spec.tune_job))
        if isinstance(spec, EvaluateSpec) and spec.model is not None:
            model = spec.model
            return ModelRequest(
                provider=model.provider,
                model=model.name,
                adapter=model.adapter,
                precision=model.precision,
                label=job.label,
            )
        raise UserError(f"{job.id} has no model: it is a job of synthesis", where=WHERE, fix="name another")

    def _unknown(self, name: str) -> NoReturn:
        account, colon, rest = name.partition(":")
        if colon and (near := get_close_matches(account, sorted(self._account_names()), n=1)):
            fix = f"did you mean {near[0]}:{rest}?"
            raise UnknownNameError(f"no account is called {account!r}", where=WHERE, fix=fix)
        if _HUB_ID.fullmatch(name):
            fix = f"{_LOCAL}:{name} for a model of the hub; a folder of that name is not here"
            raise UnknownNameError(f"no model is called {name!r}", where=WHERE, fix=fix)
        made = [part for alias, _, job_id in self._store.models() for part in (alias, job_id) if part]
        jobs = [job.id for job in self._store.jobs(kinds=[JobKind.TUNE], newest_first=True, limit=100)]
        near = get_close_matches(name, [*dict.fromkeys([*made, *jobs]), SANDBOX], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        fix = (
            f"{hint}ACCOUNT:MODEL, a folder, http://HOST/v1#MODEL, or a job's id (broker models lists those made here)"
        )
        raise UnknownNameError(f"no model is called {name!r}", where=WHERE, fix=fix)


def _noted_base(folder: Path) -> str:
    try:
        config: Any = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return str(config.get("base_model_name_or_path") or "")
    except (OSError, ValueError, AttributeError) as error:
        fix = "name a folder that PEFT wrote"
        raise UserError(f"adapter_config.json cannot be read: {error}", where=str(folder), fix=fix) from error


def _title(folder: Path) -> str:
    """Return what the table calls an adapter: the name of its folder, with the one above where that says nothing."""
    return f"{folder.parent.name}/{folder.name}" if folder.name in {"adapter", "checkpoint", "model"} else folder.name
