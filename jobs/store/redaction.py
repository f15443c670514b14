"""Keeps secrets out of what is stored, whoever let them slip into a message."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HIDDEN = "[hidden]"
# Shapes of keys that providers quote in their own error messages.
_SHAPES = re.compile(
    r"\b(?:sk-(?=[\w-]*\d)[\w-]{20,}|hf_[A-Za-z0-9]{20,}|AIza[\w-]{30,}|xox[abp]-[\w-]{10,}|gh[pousr]_[A-Za-z0-9]{30,})"
    r"|(?i:\bbearer\s+)[\w.~+/-]{16,}=*"
)
_SHORTEST = 8


class Redactor:
    """Replaces known secrets everywhere, and what looks like one in messages."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Learn the secrets of this process.

        Args:
            secrets: Keys and tokens; ones shorter than 8 characters are ignored, since they would match by chance.
        """
        longest_first = sorted({one for one in secrets if len(one) >= _SHORTEST}, key=len, reverse=True)
        # Text inside JSON is escaped, so both forms of a secret are looked for.
        forms = [form for one in longest_first for form in dict.fromkeys([one, json.dumps(one)[1:-1]])]
        self._known = re.compile("|".join(map(re.escape, forms))) if forms else None

    def text(self, text: str) -> str:
        """Return the text without the known secrets."""
        return self._known.sub(HIDDEN, text) if self._known else text

    def message(self, value: Any) -> Any:
        """Return JSON data without known secrets and without anything shaped like a key."""
        if isinstance(value, str):
            return _SHAPES.sub(HIDDEN, self.text(value))
        return _walk(value, self.message)

    def encode(self, value: Any) -> str:
        """Return JSON text without the known secrets; NaN and infinity, which JSON lacks, become null."""
        try:
            encoded = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except ValueError:
            encoded = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
        return self.text(encoded)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _walk(value, _finite)


def _walk(value: Any, change: Callable[[Any], Any]) -> Any:
    if _is_object(value):
        return {key: change(item) for key, item in value.items()}
    if _is_array(value):
        return [change(item) for item in value]
    return value


def _is_object(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_array(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)
