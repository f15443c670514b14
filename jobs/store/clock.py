"""The clocks of a store: one for people (UTC), one for leases that nobody can set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path


def _utc_now() -> datetime:
    return datetime.now(UTC)


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""  # then a lease from before a restart ends when its times do not fit the new clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where an embedded store takes its times from. With PostgreSQL both come from the server instead.

    All processes that share an SQLite store run on one machine (WAL needs shared memory), so leases are measured on the
    machine's own count of seconds, the same in all its processes: setting the wall clock a day forth or back moves no
    lease, and none runs out while the machine sleeps.

    Attributes:
        now: The time for people (UTC).
        elapsed: Seconds on the lease clock.
        boot: Changes when the lease clock starts anew; leases of another boot have expired.
    """

    now: Callable[[], datetime] = _utc_now
    elapsed: Callable[[], float] = time.monotonic
    boot: Callable[[], str] = _boot_id
