"""What a person told about an account's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.gateway import Limits

if TYPE_CHECKING:
    from broker.settings import Account


def told_limits(account: Account) -> Limits:
    """Return the limits of an account's settings; what is not told is learned.

    Args:
        account: `concurrency`, and the options `requests_per_minute`, `tokens_per_minute`, `concurrency`.
    """
    told = account.options
    asked = account.concurrency or told.get("concurrency")
    return Limits(
        requests_per_minute=told.get("requests_per_minute"),
        tokens_per_minute=told.get("tokens_per_minute"),
        concurrency=int(asked or Limits().concurrency),
        concurrency_told=asked is not None,
    )
