"""Keeps keys out of everything that people and logs see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a key or a header with one looks like, also when a server echoes it in part.
_PATTERNS = (
    re.compile(r"\bsk-[\w*.\-]{6,}"),
    re.compile(r"\bAIza[\w\-]{10,}"),
    re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=\-]{6,}"),
    re.compile(r"(?<=://)[^/\s@]+@"),
)


class Censor:
    """Replaces secrets in texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Keep what must not be seen.

        Args:
            secrets: Keys and tokens; short ones are ignored, they would hit ordinary words.
        """
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced by `***`."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        for pattern in _PATTERNS:
            text = pattern.sub("***", text)
        return text
