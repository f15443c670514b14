"""JSON that somebody else wrote: read without trust in its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = dict[str, Any]


def fields(value: object) -> Item:
    """Return a JSON object as it is, and anything else (null, a text) as an empty one."""
    return cast("Item", value) if isinstance(value, dict) else {}


def entries(value: object) -> Sequence[Any]:
    """Return a JSON array as it is, and anything else as an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()
