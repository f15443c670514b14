"""System messages that can be had by name, with their sources: `policies.toml` beside this file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from broker.jobs.spec import PromptPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def named_policies() -> Mapping[str, PromptPolicy]:
    """Return the policies that need no definition: `as-is` (each row's own system message) and those of the file."""
    rows = tomllib.loads(files("broker.evaluation").joinpath("policies.toml").read_text(encoding="utf-8"))["policy"]
    shipped = {row["name"]: PromptPolicy(name=row["name"], system=row["system"]) for row in rows}
    return {"as-is": PromptPolicy(), **shipped}
