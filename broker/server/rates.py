"""Rate limits: one bucket for each token, refilled steadily."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from broker.server.errors import ApiError

_MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Rates:
    """Counts requests of many clients."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many clients are remembered."""
        return len(self._buckets)

    def take(self, client: str, per_minute: int) -> dict[str, str]:
        """Count one request.

        Args:
            client: Whose request it is.
            per_minute: Requests allowed in a minute.

        Returns:
            The headers that tell the client where it stands, as OpenAI names them.

        Raises:
            ApiError: 429 with `retry-after`.
        """
        bucket = self._bucket(client, per_minute)
        if bucket.level < 1:
            wait_s = (1 - bucket.level) * 60 / per_minute
            headers = self._headers(bucket, per_minute) | {"retry-after": f"{max(1, int(wait_s + 0.999))}"}
            message = f"Rate limit reached: {per_minute} requests per minute. Please try again in {wait_s:.2f}s."
            raise ApiError(429, message, code="rate_limit_exceeded", kind="requests", headers=headers)
        bucket.level -= 1
        return self._headers(bucket, per_minute)

    def _bucket(self, client: str, per_minute: int) -> _Bucket:
        now = time.monotonic()
        bucket = self._buckets.setdefault(client, _Bucket(level=float(per_minute), at=now))
        bucket.level = min(float(per_minute), bucket.level + (now - bucket.at) * per_minute / 60)
        bucket.at = now
        self._buckets.move_to_end(client)
        while len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket

    @staticmethod
    def _headers(bucket: _Bucket, per_minute: int) -> dict[str, str]:
        reset_s = (per_minute - bucket.level) * 60 / per_minute
        return {
            "x-ratelimit-limit-requests": str(per_minute),
            "x-ratelimit-remaining-requests": str(int(bucket.level)),
            "x-ratelimit-reset-requests": f"{reset_s:.3f}s",
        }
