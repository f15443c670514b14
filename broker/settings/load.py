"""Build the settings, and say everything that is wrong with them at once."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from broker.errors import Problem, SpecError
from broker.settings.files import ConfigFile, config_files, has_key
from broker.settings.model import BUILTIN_KINDS, Account, Defaults, Settings, installed_kinds
from broker.settings.sources import account_variables, accounts_of, merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

_SECTIONS: dict[str, type[BaseModel]] = {"defaults": Defaults, "providers": Account}


def load_settings(*, config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from flags, environment and files.

    Args:
        config: Settings file in place of the project's `broker.toml` (the user's still applies).
        overrides: What the flags say, by field and nested as in the file:
            `{"data_dir": ..., "providers": {"openai": {"base_url": ...}}}`. None means not given.

    Returns:
        Frozen settings; look at `warnings` too.

    Raises:
        SpecError: One problem for each thing that is wrong, with the file and line, variable or flag it came from.
    """
    flags = merge({}, {**(overrides or {}), "config": config})
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        files = config_files(config)
        problems = [_problem(detail, flags, files) for detail in error.errors(include_url=False)]
        problems += _unknown_kinds(_kinds([flags, *(file.values for file in files)]), flags, files)
        raise SpecError(list(dict.fromkeys(problems)), summary="the settings are not usable") from None
    kinds = {name: account.kind for name, account in settings.providers.items()}
    if problems := list(_unknown_kinds(kinds, flags, config_files(config))):
        raise SpecError(problems, summary="the settings are not usable")
    return settings


def _problem(detail: ErrorDetails, flags: Mapping[str, Any], files: list[ConfigFile]) -> Problem:
    keys = tuple(str(part) for part in detail["loc"])
    where = _place(keys, flags, files)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(keys, where)
    match detail["type"], keys:
        case "missing", ("providers", name, "kind"):
            fix = f"say which provider speaks to it: kind = {' | '.join(BUILTIN_KINDS)}"
            return Problem(where=where, what=f"the account {name!r} has no kind", fix=fix)
        case _:
            pass
    message = detail["msg"].removeprefix("Value error, ")
    return Problem(where=where, what=f"{'.'.join(keys)} = {_shown(keys, detail['input'])}: {message}")


def _unknown_key(keys: tuple[str, ...], where: str) -> Problem:
    *tables, key = keys
    section = _SECTIONS.get(tables[0]) if tables else Settings
    known = sorted(section.model_fields) if section else []
    near = get_close_matches(key, known, n=1)
    fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return Problem(where=where, what=f"unknown setting {'.'.join(keys)!r}", fix=fix)


def _kinds(layers: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the kinds that accounts name, from layers that may be wrong in any other way."""
    sections = [(name, section) for layer in layers for name, section in accounts_of(layer).items()]
    return {name: section["kind"] for name, section in sections if isinstance(section.get("kind"), str)}


def _unknown_kinds(kinds: Mapping[str, str], flags: Mapping[str, Any], files: list[ConfigFile]) -> Iterator[Problem]:
    strange = {name: kind for name, kind in kinds.items() if kind not in BUILTIN_KINDS}
    known = sorted({*BUILTIN_KINDS, *(installed_kinds() if strange else ())})
    for name, kind in strange.items():
        if kind not in known:
            near = get_close_matches(kind, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else "install the package that offers it"
            where = _place(("providers", name, "kind"), flags, files)
            yield Problem(where=where, what=f"unknown provider kind {kind!r}; known: {', '.join(known)}", fix=fix)


def _place(keys: tuple[str, ...], flags: Mapping[str, Any], files: list[ConfigFile]) -> str:
    if has_key(flags, keys):
        return "--" + keys[-1].replace("_", "-")
    if variable := _variable(keys):
        return variable
    for file in files:
        if file.has(keys):
            return file.place(keys)
    for file in files:
        if file.has(keys[:-1]):
            return file.place(keys[:-1])
    return ".".join(keys)


def _variable(keys: tuple[str, ...]) -> str | None:
    names = ["BROKER_" + "__".join(keys).upper()]
    if len(keys) == 3 and keys[0] == "providers":
        names += account_variables(keys[1]).get(keys[2], ())
    return next((name for name in names if os.environ.get(name)), None)


def _shown(keys: tuple[str, ...], value: object) -> str:
    """Return a value for a message; a secret is never one, nor is anything that may hold one."""
    secret = keys[-1] in {"api_key", "hf_token", "store_url"} or (keys[0] == "providers" and len(keys) < 3)
    return "(not shown)" if secret else repr(value)
