"""Who holds a lease, by a name from which others on the same machine can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from uuid import uuid4

_PROC = Path("/proc")


def new_owner() -> str:
    """Return a name for this process: host, process, its start, a random word, and the place that its number means."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_start(pid)}:{uuid4().hex[:8]}@{_place()}"


def is_dead(owner: str) -> bool:
    """Say whether the process behind a name certainly lives no more.

    Args:
        owner: As `new_owner` made it, here or elsewhere.

    Returns:
        False also where nobody can tell: another machine, another container, a system without `/proc`. Their leases
        run out by themselves.
    """
    who, _, place = owner.rpartition("@")
    if not place or place != _place():
        return False
    _, pid, start, _ = who.rsplit(":", 3)
    return _start(int(pid)) != start


def _start(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: a number given anew is another process."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if fields[0] in ("Z", "X") else fields[19]


@cache
def _place() -> str:
    """Return what a process number is unique in: one run of one kernel, one namespace; empty when nobody can tell."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}.{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
