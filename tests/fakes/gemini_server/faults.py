"""Faults on request: what goes wrong, at which call, how often, for which prompts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Before anything is answered: nothing is paid.
BEFORE = frozenset(
    {
        "400", "400_key", "400_location", "401", "403", "404", "429", "429_plain", "429_day", "500", "503",
        "reset_before", "html",
    }
)  # fmt: skip
# After the work is done: the answer is paid, and does not arrive as it should.
AFTER = frozenset(
    {"lose", "truncated", "truncated_clean", "slow", "late", "500_after", "503_after", "list_body", "html_after"}
)
# The answer itself is no good, or odd; the wire is fine.
ANSWERS = frozenset(
    {
        "safety", "recitation", "blocked", "no_candidates", "max_tokens", "repetition", "looping", "finish", "empty",
        "no_content", "malformed", "thoughts", "cached", "unknown_fields", "no_reason", "raw",
    }
)  # fmt: skip
# A row of a batch: it comes with an error, or not at all.
ROWS = frozenset({"row_error", "row_missing"})

Where = Callable[[dict[str, Any]], bool]


@dataclass(slots=True)
class Rule:
    """One fault.

    Attributes:
        fault: A word of `BEFORE`, `AFTER`, `ANSWERS` or `ROWS`.
        call: `generateContent`, `batchGenerateContent`, `batches.get`, `batches.list`, `batches.cancel`, `files.start`,
            `files.upload`, `files.get`, `files.list`, `files.download`, or `batch.row` for an answer made in a batch.
        nth: Which calls are hit, counted from 1 among those that `where` lets through; empty is every call.
        probability: Of a hit, drawn from `seed`.
        seed: See `probability`.
        where: Says whether a request (the parsed body, with its `model`) may be hit.
        contains: Likewise: some text of the request holds this one. For rules that come over the wire.
        options: `delay_s`, `retry_s`, `reason`, `message`, `category`, `block_reason`, `text`, `body`, …
        count: Calls seen so far.
    """

    fault: str
    call: str = "generateContent"
    nth: list[int] = field(default_factory=list[int])
    probability: float = 1.0
    seed: int = 0
    where: Where | None = None
    contains: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    count: int = 0
    _dice: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.fault not in BEFORE | AFTER | ANSWERS | ROWS:
            raise ValueError(f"no such fault: {self.fault}")
        self._dice = random.Random(self.seed)

    def hits(self, call: str, request: dict[str, Any]) -> bool:
        """Count a call and say whether it is hit."""
        if call != self.call or (self.where is not None and not self.where(request)):
            return False
        if self.contains and self.contains not in str(request):
            return False
        self.count += 1
        return (not self.nth or self.count in self.nth) and self._dice.random() < self.probability
