"""Checks a job's parameters against what its provider announces: one place for every provider."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

from broker.errors import Problem

if TYPE_CHECKING:
    from broker.jobs.spec import ParameterValue, TuneSpec
    from broker.providers.contract import Capabilities, Parameter

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (tuple, list),
}


def check_parameters(spec: TuneSpec, capabilities: Capabilities) -> list[Problem]:
    """Return every problem with a job's method and parameters at once.

    Args:
        spec: The job asked for.
        capabilities: What its provider announces.

    Returns:
        Problems, each with the flag, the value and the fix.
    """
    problems = _check_method(spec, capabilities)
    known = {parameter.name: parameter for parameter in capabilities.parameters}
    for name, value in spec.parameters.items():
        if name not in known:
            problems.append(_unknown(name, spec.provider, list(known)))
        elif value is not None:
            problems += check_value(known[name], value)
    return problems


def with_defaults(spec: TuneSpec, capabilities: Capabilities) -> dict[str, ParameterValue]:
    """Return the job's parameters with the announced defaults for those not given; `None` is left out."""
    values = {parameter.name: parameter.default for parameter in capabilities.parameters}
    values.update({name: value for name, value in spec.parameters.items() if value is not None})
    return {name: value for name, value in values.items() if value is not None}


def flag(name: str) -> str:
    """Return a parameter's name as a person types it."""
    return "--" + name.replace("_", "-")


def _check_method(spec: TuneSpec, capabilities: Capabilities) -> list[Problem]:
    if not capabilities.tuner:
        what = f"the provider {spec.provider!r} answers but does not tune"
        return [Problem(where="--provider", what=what, fix="choose a provider that tunes, such as local")]
    if spec.method not in capabilities.methods:
        known = ", ".join(capabilities.methods)
        what = f"the provider {spec.provider!r} does not tune by {spec.method}"
        return [Problem(where="--method", what=what, fix=f"one of: {known}")]
    return []


def _unknown(name: str, provider: str, known: list[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {flag(near[0])}?" if near else f"known: {', '.join(flag(k) for k in sorted(known))}"
    return Problem(where=flag(name), what=f"the provider {provider!r} has no parameter {name!r}", fix=fix)


def check_value(parameter: Parameter, value: ParameterValue) -> list[Problem]:
    """Return what is wrong with a value: its type, its choice, its bounds.

    Args:
        parameter: As announced.
        value: As given.
    """
    where = flag(parameter.name)
    if parameter.auto and value == "auto":
        return []
    if not _fits(parameter, value):
        wanted = " or ".join((*parameter.types, *(["the word auto"] if parameter.auto else [])))
        return [Problem(where=where, what=f"{value!r} is not {wanted}", fix=f"give {wanted}")]
    if parameter.choices:
        given = value if isinstance(value, tuple | list) else (value,)
        if any(item not in parameter.choices for item in given):
            return [
                Problem(where=where, what=f"{value!r} is not offered", fix=f"one of: {', '.join(parameter.choices)}")
            ]
    return _check_bounds(parameter, value)


def _fits(parameter: Parameter, value: ParameterValue) -> bool:
    if isinstance(value, bool):
        return "bool" in parameter.types
    return any(isinstance(value, _TYPES[name]) for name in parameter.types)


def _check_bounds(parameter: Parameter, value: ParameterValue) -> list[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    low, high = parameter.minimum, parameter.maximum
    too_low = low is not None and (value <= low if parameter.exclusive_minimum else value < low)
    too_high = high is not None and value > high
    if math.isfinite(value) and not too_low and not too_high:
        return []
    sign = ">" if parameter.exclusive_minimum else ">="
    bounds = [f"{sign} {low:g}"] if low is not None else []
    bounds += [f"<= {high:g}"] if high is not None else []
    return [
        Problem(where=flag(parameter.name), what=f"{value!r} is out of range", fix=" and ".join(bounds) or "a number")
    ]
