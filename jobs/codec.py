"""Values to JSON and back: pydantic does the work, so a stored value is checked when it is read."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: object) -> Any:
    """Return a value (dataclass, enum, mapping, sequence) as plain JSON data."""
    return _adapter(type(value)).dump_python(value, mode="json")


def load(kind: type[T], data: Any) -> T:
    """Build a value of `kind` from plain JSON data.

    Args:
        kind: A dataclass or any type that pydantic knows.
        data: JSON data as `dump` made it.

    Raises:
        pydantic.ValidationError: The data does not fit.
    """
    value: T = _adapter(kind).validate_python(data, strict=False)
    return value
