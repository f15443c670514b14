"""Find and read `broker.toml`, and say on which line a key stands. No pydantic here: this is on the fast path."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard, cast

from broker.errors import Problem, SpecError

FILE_NAME = "broker.toml"
APP_NAME = "finetune-broker"
# Keys that hold a path; in a file it is relative to that file's folder, not to where the person happens to stand.
PATH_KEYS = frozenset({"data_dir", "cache_dir", "catalog", "train", "validation"})


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """One TOML file of settings.

    Attributes:
        path: Where it lies.
        text: Its text, to find lines in.
        values: Its content, with paths made absolute.
        readable_by_others: Its mode lets other users read it.
    """

    path: Path
    text: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    readable_by_others: bool = False

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        return _key_lines(self.text)

    def place(self, keys: tuple[str, ...]) -> str:
        """Return `file:line` of a key, or of the nearest table above it.

        Args:
            keys: The key's path, as `("defaults", "model")`.
        """
        for length in range(len(keys), 0, -1):
            if line := self._lines.get(keys[:length]):
                return f"{self.path}:{line}"
        return str(self.path)

    def has(self, keys: tuple[str, ...]) -> bool:
        """Say whether the file sets a key."""
        return has_key(self.values, keys)


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether a value of TOML data is a table; its keys are text then."""
    return isinstance(value, Mapping)


def table(value: object) -> Mapping[str, Any]:
    """Return a table of TOML data, or an empty one when the value is none."""
    return value if is_table(value) else {}


def has_key(values: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    """Say whether nested mappings hold a path of keys."""
    here = table(values)
    for key in keys[:-1]:
        here = table(here.get(key))
    return keys[-1] in here


def config_home() -> Path:
    """Return the folder of the user's own `broker.toml`."""
    return xdg("XDG_CONFIG_HOME", ".config")


def xdg(variable: str, fallback: str) -> Path:
    """Return the broker's folder below an XDG base folder.

    Args:
        variable: Environment variable that names the base; an empty or relative value is ignored, as XDG asks.
        fallback: The base below the home folder otherwise.
    """
    base = Path(os.environ.get(variable, ""))
    return (base if base.is_absolute() else Path.home() / fallback) / APP_NAME


def config_files(config: Path | None) -> list[ConfigFile]:
    """Read the settings files that apply, the strongest first.

    Args:
        config: File to use in place of the project's; `BROKER_CONFIG` and then the search upwards when None.

    Raises:
        SpecError: A file is missing, unreadable, not TOML, or lies where anybody could have put it.
    """
    named = config or (Path(value) if (value := os.environ.get("BROKER_CONFIG")) else None)
    project = named.expanduser() if named else _search_upwards(Path.cwd())
    user = config_home() / FILE_NAME
    paths = [path for path in (project, user if user.is_file() else None) if path is not None]
    return [_read(path) for path in dict.fromkeys(paths)]


def _search_upwards(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if path.is_file():
            _refuse_planted(path)
            return path
    return None


def _refuse_planted(path: Path) -> None:
    """Refuse a file that a stranger left in a folder open to all, such as /tmp: it could send keys to their server."""
    if not hasattr(os, "geteuid"):
        return
    folder_open = bool(path.parent.stat().st_mode & stat.S_IWOTH)
    if folder_open and path.stat().st_uid not in {os.geteuid(), 0}:
        what = "this settings file belongs to another user and lies in a folder that anybody may write to"
        fix = f"run the command in a folder of your own, or name the file: --config {path}"
        raise SpecError([Problem(where=str(path), what=what, fix=fix)])


def _read(path: Path) -> ConfigFile:
    try:
        text = path.read_text(encoding="utf-8")
        readable = bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
        values = tomllib.loads(text)
    except FileNotFoundError as error:
        fix = f"create it, or leave --config and BROKER_CONFIG away to use {FILE_NAME} of this folder"
        raise SpecError([Problem(where=str(path), what="there is no such settings file", fix=fix)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(where=str(path), what=f"cannot be read: {error}")]) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise SpecError([Problem(where=where, what=f"is not valid TOML: {error}", fix="mend the line")]) from error
    return ConfigFile(path=path, text=text, values=_absolute_paths(values, path), readable_by_others=readable)


def _absolute_paths(values: dict[str, Any], path: Path) -> dict[str, Any]:
    folder = path.absolute().parent
    defaults = {key: _beside(folder, value, key) for key, value in table(values.get("defaults")).items()}
    top = {key: _beside(folder, value, key) for key, value in values.items()}
    return top | ({"defaults": defaults} if isinstance(values.get("defaults"), dict) else {})


def rooted_metric(name: str, folder: Path) -> str:
    """Return the name of a metric whose rubric file is found from anywhere.

    Args:
        name: As written in a file, such as `judge:rubrics/warmth.toml`.
        folder: Where that file's relative paths begin.
    """
    kind, _, rubric = name.partition(":")
    if kind != "judge" or not rubric.endswith(".toml"):
        return name
    return f"judge:{(folder / Path(rubric).expanduser()).resolve()}"


def _beside(folder: Path, value: Any, key: str) -> Any:
    if key == "metrics" and isinstance(value, list):
        names = cast("list[object]", value)
        return [rooted_metric(name, folder) if isinstance(name, str) else name for name in names]
    if key not in PATH_KEYS or not isinstance(value, str) or value.startswith("hf:"):
        return value
    return str(folder / Path(value).expanduser())


_TABLE = re.compile(r"^\s*\[\s*([^\[\]#]+?)\s*\]")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[\w.-]+)\s*=""")


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = _parts(match[1])
            lines.setdefault(table, number)
        elif match := _KEY.match(line):
            lines.setdefault((*table, *_parts(match[1])), number)
    return lines


def _parts(name: str) -> tuple[str, ...]:
    found = re.findall(r'"([^"]*)"|\'([^\']*)\'|([^.\s"\']+)', name)
    return tuple(next(part for part in groups if part) if any(groups) else "" for groups in found)
