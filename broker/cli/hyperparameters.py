"""Flags to hyperparameters: one spelling for people, each provider's own names behind it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from broker.jobs.spec import ParameterValue
    from broker.providers.contract import Capabilities

# What a flag is called by one provider or another.
NAMES: Mapping[str, tuple[str, ...]] = {
    "epochs": ("epochs", "n_epochs"),
    "lr": ("lr", "learning_rate"),
    "lr_multiplier": ("learning_rate_multiplier", "lr_multiplier"),
    "grad_accum": ("grad_accum", "gradient_accumulation", "gradient_accumulation_steps"),
}


_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def named_parameters(flags: Mapping[str, str | None], capabilities: Capabilities) -> dict[str, ParameterValue]:
    """Return the flags that were given under the provider's own names.

    Args:
        flags: Text by flag name; None was not given.
        capabilities: What the provider announces.

    Returns:
        Values by the provider's parameter name; an unknown one keeps the flag's, so that `check` can name it.
    """
    known = {parameter.name: parameter for parameter in capabilities.parameters}
    found: dict[str, ParameterValue] = {}
    for flag, text in flags.items():
        if text is None:
            continue
        name = next((name for name in NAMES.get(flag, (flag,)) if name in known), flag)
        words = name in known and "list" in known[name].types
        found[name] = tuple(text.split(",")) if words else parse_value(text)
    return found


def in_flags(problem: Problem, options: Collection[str]) -> Problem:
    """Return a problem in the words of the command line: `--lr` rather than a provider's `--learning-rate`.

    Args:
        problem: As the provider told it.
        options: The command's options, as `lr_multiplier`.
    """
    flags = {theirs: ours for ours, names in NAMES.items() for theirs in names} | {name: name for name in options}

    def flag(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        return f"--{flags[name].replace('_', '-')}" if name in flags else f"--set {name}"

    if not problem.where.startswith("--"):
        return problem
    where = re.sub(r"^--([a-z][a-z-]*)$", flag, problem.where)
    return replace(problem, where=where, fix=_FLAG.sub(flag, problem.fix) if "--" in problem.fix else problem.fix)


def parse_settings(settings: Sequence[str], flag: str) -> dict[str, ParameterValue]:
    """Read `NAME=VALUE` settings.

    Args:
        settings: As typed.
        flag: The flag they were given with.

    Raises:
        SpecError: One has no `=` or no name.
    """
    problems = [
        Problem(where=flag, what=f"{setting!r} is not NAME=VALUE", fix=f"{flag} name=value")
        for setting in settings
        if not setting.partition("=")[0] or "=" not in setting
    ]
    if problems:
        raise SpecError(problems)
    pairs = (setting.partition("=") for setting in settings)
    return {name: parse_value(text) if flag == "--set" else text for name, _, text in pairs}


def parse_value(text: str) -> ParameterValue:
    """Return a number or truth value where the text is one, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, list):
        return tuple(str(item) for item in cast("list[object]", value))
    return value if isinstance(value, bool | int | float | str) else text
