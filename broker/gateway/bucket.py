"""A token bucket whose rate and size may change while it is used. Times are given by the caller."""

from __future__ import annotations

import math


class Bucket:
    """Lets `rate` units a second through, and up to `size` at once after a rest."""

    def __init__(self, *, rate: float = math.inf, size: float = 1.0, level: float | None = None) -> None:
        """Start a bucket.

        Args:
            rate: Units a second; infinite is no limit.
            size: Most units that a rest may save up.
            level: Units there are now; full when not given.
        """
        self.rate = rate
        self.size = size
        self.level = size if level is None else level
        self._at: float | None = None

    def fill(self, now: float) -> None:
        """Add what has flowed in until `now`, seconds of any monotonic clock."""
        if self._at is not None and now > self._at and self.rate < math.inf:
            # A level above the size was granted by the server itself; it stays until it is used.
            self.level = max(self.level, min(self.size, self.level + self.rate * (now - self._at)))
        self._at = now

    def wait_s(self, now: float, units: float = 1.0) -> float:
        """Return the seconds until `units` may pass; more than the size passes when the bucket is full."""
        self.fill(now)
        missing = min(units, self.size) - self.level
        if missing <= 1e-9 or self.rate == math.inf:
            return 0.0
        return missing / self.rate if self.rate > 0 else math.inf

    def take(self, now: float, units: float = 1.0) -> None:
        """Let `units` pass; the level may fall below zero."""
        self.fill(now)
        if self.rate < math.inf:
            self.level -= units
