"""Reads JSON that strangers send: bounded in size, depth and time, and only what every part behind can hold."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn, cast

import anyio
from starlette.requests import ClientDisconnect, Request

from broker.server.errors import ApiError, invalid, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

MAX_DEPTH = 64
_SHOWN = 60


async def read_body(request: Request, *, limit: int, idle_s: float) -> bytes:
    """Read a whole body.

    Args:
        request: The request.
        limit: Most bytes allowed.
        idle_s: Longest silence of the client, seconds.

    Raises:
        ApiError: 413 when it is too large, 400 when the client falls silent or leaves.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large("The request body", limit)
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks(request, idle_s=idle_s):
        size += len(chunk)
        if size > limit:
            raise too_large("The request body", limit)
        parts.append(chunk)
    return b"".join(parts)


async def chunks(request: Request, *, idle_s: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Args:
        request: The request.
        idle_s: Longest silence of the client, seconds.

    Raises:
        ApiError: 400 when the client falls silent or leaves.
    """
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(idle_s):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise invalid("The request body came too slowly.", code="body_timeout") from None
        except ClientDisconnect:
            raise invalid("The client left before the request body was complete.", code="body_incomplete") from None
        if chunk is None:
            return
        if chunk:
            yield chunk


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        body: What came.

    Returns:
        The object; free of NaN, infinite numbers, lone surrogates and null characters, at most `MAX_DEPTH` deep.

    Raises:
        ApiError: 400 with what is wrong.
    """
    data = _parse(body)
    if not isinstance(data, dict):
        raise _unparsable(f"expected an object, but got {kind_name(data)} instead")
    for text in _texts(data):
        _check_text(text)
    return cast("dict[str, Any]", data)


def kind_name(value: object) -> str:
    """Return the JSON name of a value's kind, with its article, as OpenAI's messages have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names: dict[type, str] = {
        str: "a string",
        int: "an integer",
        float: "a decimal",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "an unknown value")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise _unparsable("it is not UTF-8") from None
    except RecursionError:
        raise _unparsable(f"it is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise _unparsable(str(error)[:_SHOWN]) from None


def _unparsable(why: str) -> ApiError:
    message = f"We could not parse the JSON body of your request: {why}. (HINT: send a JSON object as UTF-8.)"
    return ApiError(400, message, code="invalid_json")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:_SHOWN]} is too large")
    return number


def _texts(data: Any) -> Iterator[str]:
    todo: list[tuple[Any, int]] = [(data, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise _unparsable(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            items = cast("Sequence[Any]", value)
            todo.extend((item, depth + 1) for item in items)
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            yield from fields
            todo.extend((item, depth + 1) for item in fields.values())


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _unparsable("a text holds a null character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _unparsable("a text holds half of a surrogate pair") from None
