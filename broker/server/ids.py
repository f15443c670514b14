"""Ids that the server gives: they sort by time, so a page can go on after an object that is gone meanwhile."""

from __future__ import annotations

import re
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_LETTERS = 11
_RANDOM_LETTERS = 13
_PATTERN = re.compile(rf"[a-z]+[-_](?P<key>[{_ALPHABET}]{{{_TIME_LETTERS + _RANDOM_LETTERS}}})")

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return a new id, such as `file-01jd…`; later ones sort after earlier ones of this process.

    Args:
        prefix: With its dash or underscore (`file-`, `ftjob-`, `batch_`, `upload_`, `part_`).
    """
    noise = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LETTERS))
    return f"{prefix}{letters(_next_tick(), _TIME_LETTERS)}{noise}"


def sort_key(object_id: str) -> str | None:
    """Return the part of an id that orders it, or None when it is no id of ours."""
    found = _PATTERN.fullmatch(object_id)
    return found.group("key") if found else None


def short(object_id: str) -> str:
    """Return the last eight letters of an id: the end of a tuned model's name."""
    return object_id[-8:]


def _next_tick() -> int:
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        return _last


def letters(number: int, width: int) -> str:
    """Return a number in the ids' alphabet, with leading zeros; it sorts as the number does.

    Args:
        number: From 0.
        width: How many letters.
    """
    found: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        found.append(_ALPHABET[digit])
    return "".join(reversed(found))
