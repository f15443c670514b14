"""The one place for retries and limits of remote accounts."""

from broker.gateway.gate import Fate, Gate, Judgement, Patience, Reply
from broker.gateway.limits import NOTHING_SEEN, Limits, Seen, read_headers
from broker.gateway.pacer import Pacer, Ticket

__all__ = [
    "NOTHING_SEEN",
    "Fate",
    "Gate",
    "Judgement",
    "Limits",
    "Pacer",
    "Patience",
    "Reply",
    "Seen",
    "Ticket",
    "read_headers",
]
