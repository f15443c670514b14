"""Where the broker's things lie, without reading anything else of the settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.settings.files import config_files, xdg

if TYPE_CHECKING:
    from collections.abc import Mapping


# The ending of an account's name that makes it ask by the Batch API, and the kinds of providers that have one.
BATCH = "+batch"
WITH_BATCHES = frozenset({"openai", "gemini"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Locations:
    """Where the broker's things lie.

    Attributes:
        data_dir: Jobs, data sets, answers, adapters.
        cache_dir: What can be made again: sandbox models.
        store_url: The store's address; SQLite in the data folder unless set. May hold a password.
    """

    data_dir: Path
    cache_dir: Path
    store_url: str


def default_data_dir() -> Path:
    """Return the user's data folder (`XDG_DATA_HOME`, else `~/.local/share`)."""
    return xdg("XDG_DATA_HOME", ".local/share")


def default_cache_dir() -> Path:
    """Return the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return xdg("XDG_CACHE_HOME", ".cache")


def default_store_url(data_dir: Path) -> str:
    """Return the address of the embedded store."""
    return f"sqlite:///{data_dir / 'broker.db'}"


def locate(*, config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Locations:
    """Find the data folder, the cache and the store as `load_settings` would, in a few milliseconds.

    Args:
        config: As in `load_settings`.
        overrides: As in `load_settings`.

    Returns:
        The same values that `load_settings` would give; nothing else is checked.

    Raises:
        SpecError: A settings file is missing or is not TOML.
    """
    layers = [dict(overrides or {}), _environment(), *(file.values for file in config_files(config))]
    data_dir = _path(_first(layers, "data_dir")) or default_data_dir()
    cache_dir = _path(_first(layers, "cache_dir")) or default_cache_dir()
    store_url = _first(layers, "store_url") or default_store_url(data_dir)
    return Locations(data_dir=data_dir, cache_dir=cache_dir, store_url=str(store_url))


def absolute(path: Path) -> Path:
    """Return a path without `~` and independent of the working folder."""
    return path.expanduser().absolute()


def _environment() -> dict[str, str]:
    names = ("data_dir", "cache_dir", "store_url")
    return {name: value for name in names if (value := os.environ.get(f"BROKER_{name.upper()}"))}


def _first(layers: list[Mapping[str, Any]], name: str) -> Any:
    return next((layer[name] for layer in layers if layer.get(name) is not None), None)


def _path(value: Any) -> Path | None:
    return None if value is None else absolute(Path(value))
