"""Strict JSON: one value from one piece of text, or the reason why not.

Python's parser takes more than other readers do (NaN, repeated keys, halves of characters). A row that only Python can
read would be refused by a provider after the upload, so it is refused here.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeGuard

MAX_DEPTH = 100


class JsonFault(ValueError):
    """Text that is not strict JSON. `what` says why and `fix` what to do."""

    def __init__(self, what: str, fix: str) -> None:
        """Keep both parts.

        Args:
            what: What is wrong, with the value found.
            fix: What to change.
        """
        super().__init__(what)
        self.what = what
        self.fix = fix


def shown(value: object, limit: int = 60) -> str:
    """Return a value as it would stand in the file, shortened to about `limit` characters."""
    text = json.dumps(value, ensure_ascii=True, default=str) if not isinstance(value, bytes) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}… ({len(text)} characters)"


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a JSON value is an array."""
    return isinstance(value, list)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise JsonFault(f"the key {shown(repeated)} stands twice in one object", "keep one of the two")
    return result


def _constant(word: str) -> NoReturn:
    raise JsonFault(f"{word} is not a JSON value", "write a number, null or a text")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonFault(f"the number {digits[:40]} is too large", "write a number below 1e308")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_number)


def _check_depth(text: str) -> None:
    depth = 0
    quoted = escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = char == "\\", char != '"'
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonFault(f"nested deeper than {MAX_DEPTH} levels", "flatten the value")
        elif char in "]}":
            depth -= 1


def _check_characters(text: str, value: Any) -> None:
    """Refuse what only escapes can smuggle in: halves of characters and U+0000."""
    if "\\u" not in text:
        return
    plain = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in plain:
        raise JsonFault("a text holds the character U+0000", "remove it; databases and tokenizers refuse it")
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        half = plain[error.start]
        raise JsonFault(
            f"a text holds half a character (lone surrogate U+{ord(half):04X})",
            "write the whole character, or both halves (as in \\ud83d\\ude00)",
        ) from None


def _syntax_fault(text: str, error: json.JSONDecodeError) -> JsonFault:
    near = shown(text[max(0, error.pos - 15) : error.pos + 15])
    what = f"not valid JSON: {error.msg} at character {error.pos + 1}, near {near}"
    before = text[: error.pos].rstrip()
    if error.msg.startswith("Extra data"):
        return JsonFault(what, "put each JSON object on a line of its own")
    if before.endswith(",") and text[error.pos : error.pos + 1] in ("}", "]"):
        return JsonFault(what, "remove the comma before the closing bracket")
    if text[error.pos : error.pos + 1] == "'":
        return JsonFault(what, 'use double quotes ("); this looks like a Python dict, write it with json.dumps')
    if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg:
        return JsonFault(what, "the line is cut off: write the row again, on one line")
    return JsonFault(what, "write the row with a JSON library, one object a line")


def parse_json(text: str) -> Any:
    """Return the one JSON value in a text.

    Args:
        text: The text, white space around the value allowed.

    Raises:
        JsonFault: It is not strict JSON: syntax, repeated keys, NaN or infinity, more than 100 levels, lone surrogates,
            U+0000.
    """
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _syntax_fault(text, error) from None
    except JsonFault:
        raise
    except ValueError as error:  # an integer of more than 4300 digits
        raise JsonFault(f"a number cannot be read: {error}", "write a shorter number") from None
    _check_characters(text, value)
    return value


def parse_array(text: str) -> list[tuple[int, Any]]:
    """Return the elements of one JSON array, each with the line on which it begins, from 1.

    Args:
        text: The text of the whole file; its first character that is not white space is `[`.

    Raises:
        JsonFault: It is not strict JSON.
    """
    value: list[Any] = parse_json(text)
    lines: list[int] = []
    position, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    plain = json.JSONDecoder()
    for _ in value:
        begin = _skip_to_value(text, position)
        line += text.count("\n", position, begin)
        lines.append(line)
        _, end = plain.raw_decode(text, begin)
        line += text.count("\n", begin, end)
        position = end
    return list(zip(lines, value, strict=True))


def _skip_to_value(text: str, position: int) -> int:
    while text[position] in " \t\r\n,":
        position += 1
    return position
