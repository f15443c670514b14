"""Settings: flags, then `BROKER_*`, then the project's `broker.toml`, then the user's, then the defaults.

This is the only package that reads the environment. Importing it is cheap: pydantic-settings, which alone costs more
than a whole `broker jobs` may, is loaded when `Settings` or `load_settings` is first used. A command that only needs
to know where things lie calls `locate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.settings.locations import BATCH, WITH_BATCHES, Locations, locate

if TYPE_CHECKING:
    from broker.settings.load import load_settings
    from broker.settings.model import BUILTIN_KINDS, Account, Defaults, Settings

__all__ = [
    "BATCH",
    "BUILTIN_KINDS",
    "WITH_BATCHES",
    "Account",
    "Defaults",
    "Locations",
    "Settings",
    "load_settings",
    "locate",
]

_HOMES = {"load_settings": "broker.settings.load"}


def __getattr__(name: str) -> Any:
    """Load the heavier names on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "broker.settings.model")), name)
    globals()[name] = value
    return value
