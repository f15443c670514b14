"""The sources of settings beside flags and `BROKER_FIELD`: accounts' variables, files, other tools' variables."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import PydanticBaseSettingsSource

from broker.errors import Problem
from broker.settings.files import ConfigFile, config_files, is_table, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo

# An account's field and the endings of its variable: BROKER_OPENAI_API_KEY, BROKER_NEBIUS_BASE_URL, …
ACCOUNT_VARIABLES = {
    "api_key": ("API_KEY",),
    "base_url": ("BASE_URL",),
    "organization": ("ORGANIZATION", "ORG_ID"),
    "project": ("PROJECT", "PROJECT_ID"),
}
# The variables of other tools, by kind of provider; used when nothing of ours says otherwise.
FOREIGN_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "openai": {
        "api_key": ("OPENAI_API_KEY",),
        "base_url": ("OPENAI_BASE_URL",),
        "organization": ("OPENAI_ORG_ID",),
        "project": ("OPENAI_PROJECT_ID",),
    },
    "gemini": {"api_key": ("GEMINI_API_KEY", "GOOGLE_API_KEY")},
}
HF_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
BUILTIN_ACCOUNTS = ("local", "openai", "gemini", "fake")


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    @property
    def stronger(self) -> Mapping[str, Any]:
        """Return what the stronger sources said."""
        return self.current_state

    def files(self) -> list[ConfigFile]:
        config = self.stronger.get("config")
        return config_files(Path(config) if config else None)


class AccountVariables(_Source):
    """`BROKER_<NAME>_API_KEY` and its like, for every built-in and named account."""

    def __call__(self) -> dict[str, Any]:
        """Return `{"providers": {name: {field: value}}}` for the variables that are set."""
        layers = [self.stronger, *(file.values for file in self.files())]
        names = {*BUILTIN_ACCOUNTS, *(name for layer in layers for name in accounts_of(layer))}
        found = {name: _read_variables(account_variables(name)) for name in sorted(names)}
        accounts = {name: values for name, values in found.items() if values}
        return {"providers": accounts} if accounts else {}


class Files(_Source):
    """The project's `broker.toml` over the user's."""

    def __call__(self) -> dict[str, Any]:
        """Return both files merged."""
        merged: dict[str, Any] = {}
        for file in reversed(self.files()):
            merged = merge(merged, _with_named_keys(file.values))
        return merged


class ForeignVariables(_Source):
    """`OPENAI_API_KEY`, `GEMINI_API_KEY`, `HF_TOKEN`: the weakest source.

    A named account with a base URL of its own never gets OpenAI's key: it would be sent to somebody else.
    """

    def __call__(self) -> dict[str, Any]:
        """Return the values that nothing stronger stands against."""
        accounts = accounts_of(self.stronger)
        found = {name: _foreign(name, accounts.get(name, {})) for name in sorted({*BUILTIN_ACCOUNTS, *accounts})}
        values: dict[str, Any] = {"providers": {name: held for name, held in found.items() if held}}
        if token := _first_set(HF_VARIABLES):
            values["hf_token"] = token
        return values


def _foreign(name: str, section: Mapping[str, Any]) -> dict[str, str]:
    kind = str(section.get("kind", name))
    if name != kind and section.get("base_url"):
        return {}
    wanted: dict[str, tuple[str, ...]] = dict(FOREIGN_VARIABLES.get(kind, {}))
    if section.get("api_key_env"):
        wanted.pop("api_key", None)
    if name != kind:
        wanted.pop("base_url", None)
    return _read_variables(wanted)


def account_variables(name: str) -> dict[str, tuple[str, ...]]:
    """Return the names of an account's variables, by field.

    Args:
        name: The account; what is no letter or digit becomes `_`.
    """
    stem = "BROKER_" + re.sub(r"\W", "_", name).upper()
    return {key: tuple(f"{stem}_{end}" for end in ends) for key, ends in ACCOUNT_VARIABLES.items()}


def key_variables(name: str, kind: str) -> tuple[str, ...]:
    """Return the variables that may hold an account's key, the strongest first.

    Args:
        name: The account.
        kind: Its kind.
    """
    return (*account_variables(name)["api_key"], *FOREIGN_VARIABLES.get(kind, {}).get("api_key", ()))


def named_accounts(value: Any, kinds: Sequence[str]) -> Any:
    """Give each account its name, and the kind that its name says when it is a built-in one.

    Args:
        value: `{name: section}` as read.
        kinds: The built-in kinds.
    """
    if not is_table(value):
        return value
    return {name: _named(name, section, kinds) for name, section in value.items()}


def _named(name: str, section: Any, kinds: Sequence[str]) -> Any:
    if not is_table(section):
        return section  # an account already, or something that is refused with the rest
    return {"name": name, **({"kind": name} if name in kinds else {}), **section}


def merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one; nested tables are merged, anything else of `strong` wins.

    Args:
        weak: Gives what `strong` has not.
        strong: Wins; a None in it counts as not given.
    """
    merged = dict(weak)
    for key, value in strong.items():
        under = merged.get(key)
        if is_table(value):
            merged[key] = merge(table(under), value)
        elif value is not None:
            merged[key] = value
    return merged


def warnings(config: Path | None, known: Iterable[str]) -> Iterator[Problem]:
    """Yield what should be mended though it does not stop anything.

    Args:
        config: As in `config_files`.
        known: Names of the top-level settings.
    """
    for file in config_files(config):
        yield from _exposed_keys(file)
    fields = [f"BROKER_{name.upper()}" for name in known]
    for name in sorted(os.environ):
        head = name.split("__")[0]
        if name.startswith("BROKER_") and head not in fields:
            near = get_close_matches(head, fields, n=1, cutoff=0.85)
            if near:
                fix = f"rename it to {name.replace(head, near[0])}"
                yield Problem(where=name, what="no setting has this name; it is ignored", fix=fix, severity="warning")


def _exposed_keys(file: ConfigFile) -> Iterator[Problem]:
    if not file.readable_by_others:
        return
    secrets = [("hf_token",), *(("providers", name, "api_key") for name in accounts_of(file.values))]
    for keys in secrets:
        if file.has(keys):
            fix = f"chmod 600 {file.path}, or move it to the environment and name the variable: api_key_env = ..."
            what = f"{keys[-1]} stands in a file that other users can read"
            yield Problem(where=file.place(keys), what=what, fix=fix, severity="warning")


def accounts_of(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the account sections of a layer, without those that are no tables.

    Args:
        values: A layer of settings, unchecked.
    """
    sections = table(values.get("providers"))
    return {name: dict(section) for name, section in sections.items() if is_table(section)}


def _with_named_keys(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fetch keys that a file names by `api_key_env`."""
    fetched: dict[str, Any] = {}
    for name, section in accounts_of(values).items():
        variable = section.get("api_key_env")
        if isinstance(variable, str) and "api_key" not in section and (key := os.environ.get(variable)):
            fetched[name] = {"api_key": key}
    return merge(values, {"providers": fetched}) if fetched else values


def _read_variables(wanted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {key: value for key, names in wanted.items() if (value := _first_set(names))}


def _first_set(names: Iterable[str]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)
