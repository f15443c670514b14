"""Finds answers that ended in an endless loop: the same piece again and again, up to the end. Pure."""

from __future__ import annotations

import zlib

# Only the end is looked at: a loop that the model left again is no endless one.
_TAIL = 4000
# A loop is at least so long, and goes round so often. Refrains, tables and lists stay below.
_LEAST_LENGTH = 240
_LEAST_TURNS = 6
# Text with a loop packs far better than this; most other text does not, and is done with here.
_PACKED = 0.4
# What a model still writes to close its JSON after a loop.
_CLOSERS = ' \t\r\n"}]'


def loop(text: str) -> str:
    """Return the piece that a text repeats endlessly at its end; empty for any other text.

    Args:
        text: An answer.
    """
    tail = text[-_TAIL:]
    if len(tail) < _LEAST_LENGTH or not _packs_well(tail):
        return ""
    return _period(tail) or _period(tail.rstrip(_CLOSERS))


def _packs_well(tail: str) -> bool:
    plain = tail.encode("utf-8", "replace")
    return len(zlib.compress(plain, 1)) < _PACKED * len(plain)


def _period(tail: str) -> str:
    """Return the shortest piece whose turns fill enough of the end."""
    backwards = tail[::-1]
    for period, same in enumerate(_matches(backwards)):
        length = same + period
        if period and length >= max(_LEAST_LENGTH, _LEAST_TURNS * period):
            return tail[-period:]
    return ""


def _matches(text: str) -> list[int]:
    """Return for each place how much of the text's beginning stands there again (the Z function)."""
    found = [0] * len(text)
    left = right = 0
    for at in range(1, len(text)):
        same = min(right - at, found[at - left]) if at < right else 0
        while at + same < len(text) and text[same] == text[at + same]:
            same += 1
        found[at] = same
        if at + same > right:
            left, right = at, at + same
    return found
