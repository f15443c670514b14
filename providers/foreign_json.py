"""JSON that somebody else wrote: read without trust in its shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = dict[str, Any]


class MalformedAnswerError(Exception):
    """The server answered 2xx with something that is no such object."""


def json_object(text: str | bytes | None) -> Item:
    """Return the JSON object that a server answered with, whatever an SDK makes of it.

    Args:
        text: The body.

    Raises:
        MalformedAnswerError: It is none.
    """
    try:
        found: Any = json.loads(text or "")
    except ValueError as error:
        raise MalformedAnswerError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedAnswerError(f"a JSON object was expected, not {type(found).__name__}")
    return cast("Item", found)


def fields(value: object) -> Item:
    """Return a JSON object as it is, and anything else (null, a text) as an empty one."""
    return cast("Item", value) if isinstance(value, dict) else {}


def entries(value: object) -> Sequence[Any]:
    """Return a JSON array as it is, and anything else as an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()
