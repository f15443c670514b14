"""The lines between the broker and its torch process: one JSON object a line, UTF-8, newline at the end.

```
broker → process   {"call": 3, "op": "train", "args": {...}}
                   {"stop": 3, "reason": "pause" | "cancel" | "shutdown"}
                   {"note": 3, "data": {...}}   to an op that runs and hears notes
                   end of file: stop what runs as with `shutdown`, then exit
process → broker   {"call": 3, "event": {...}}
                   {"call": 3, "result": {...}}
                   {"call": 3, "error": {"kind": "...", "message": "...", "fix": "...", "where": "..."}}
```
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class LineBuffer:
    """Puts the chunks of a stream together to messages."""

    def __init__(self) -> None:
        """Begin empty."""
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Take a chunk and yield the messages that it completes.

        Args:
            chunk: The next bytes of the stream.

        Raises:
            ValueError: A complete line is not a JSON object.
        """
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            whole = b"".join([*self._chunks, line])
            self._chunks.clear()
            if whole.strip():
                yield _parse(whole)
        if rest:
            self._chunks.append(rest)


def _parse(line: bytes) -> dict[str, Any]:
    message: Any = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"a message is not an object: {line[:80]!r}")
    return cast("dict[str, Any]", message)
