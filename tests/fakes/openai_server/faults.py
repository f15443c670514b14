"""Faults on request: what goes wrong, at which call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Those that act before anything is created, and those that act after.
BEFORE = frozenset(
    {"500_before", "503_before", "409_before", "429", "quota", "401", "403", "400", "404", "reset_before", "html"}
)
AFTER = frozenset(
    {
        "lose",
        "500_after",
        "409_after",
        "late",
        "reset",
        "half_json",
        "half_json_clean",
        "slow",
        "list_body",
        "html_after",
    }
)


@dataclass(slots=True)
class Rule:
    """One fault.

    Attributes:
        call: Method and beginning of the path below the base URL, as `POST /fine_tuning/jobs`.
        fault: A word of `BEFORE` or `AFTER`.
        nth: Which calls are hit, counted from 1; empty is every call.
        exact: The path must be equal, not only begin so.
        options: `delay_s`, `retry_after`, `message`, `code`, …
        count: Calls seen so far.
    """

    call: str
    fault: str
    nth: list[int] = field(default_factory=list[int])
    exact: bool = True
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    count: int = 0

    def __post_init__(self) -> None:
        if self.fault not in BEFORE | AFTER:
            raise ValueError(f"no such fault: {self.fault}")

    def hits(self, method: str, path: str) -> bool:
        """Count a call and say whether it is hit."""
        wanted, _, beginning = self.call.partition(" ")
        same = path == beginning if self.exact else path.startswith(beginning)
        if method != wanted or not same:
            return False
        self.count += 1
        return not self.nth or self.count in self.nth
