"""Names that the broker gives: job ids for people, intent keys for providers."""

from __future__ import annotations

import secrets

from broker.jobs.states import JobKind

# Without 0/o, 1/l/i, u: an id is read from one screen and typed on another.
_READABLE = "23456789abcdefghjkmnpqrstvwxyz"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PREFIX = {JobKind.TUNE: "tune", JobKind.EVALUATE: "eval", JobKind.SYNTHESIZE: "synth"}


def new_job_id(kind: JobKind) -> str:
    """Return a new id such as `tune-k3f9q2m7ab` (49 random bits behind the kind).

    Args:
        kind: What the job is for.
    """
    return f"{_PREFIX[kind]}-{_random(_READABLE, 10)}"


def new_intent_key() -> str:
    """Return a new intent key: `bi-` and 26 random base32 characters (130 bits), safe in headers and metadata."""
    return f"bi-{_random(_BASE32, 26)}"


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
