"""Decides when the next request may go out: concurrency, requests a minute, tokens a minute, one shared cool-down.

A pure state machine: it takes times and answers, and never sleeps. Three phases for the rate of requests:

1. *open*: nothing is known. The concurrency grows with every answer (slow start, faster than doubling), and the first
   requests are spread over some tens of milliseconds, so that a low limit is met with few rejected requests.
2. *ramp*: the first 429 came, after so few answers that they say little. The rate grows in steps until the next 429.
3. *steady*: between two 429s a server lets through its rate, so the answers counted in that time are the estimate. The
   rate stays below the one that was rejected last, and tries a higher one only after a while (additive increase,
   multiplicative decrease).

A limit that is told, by a person or by `x-ratelimit-*` headers, replaces the search: the rate is the told one, and is
only lowered for a while when 429s come all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from broker.gateway.bucket import Bucket
from broker.gateway.limits import NOTHING_SEEN, Limits, Seen

_START_WINDOW = 40
_START_RATE = 250.0
_START_DOUBLING_S = 0.03
_OPEN_RATE = 20_000.0
_RAMP_RATE = 25.0
_RAMP_STEP_S = 0.4
_RAMP_FACTOR = 1.6
_TOLD_MARGIN = 0.99
_BACK_OFF = 0.85
_ENOUGH_ANSWERS = 8
_ENOUGH_S = 1.0
_CLOSED_MOST = 4
_TELLING_ANSWERS = 30
_PLATEAU = 0.94
_PLATEAU_HOLD_S = 30.0
_RETURN_PER_S = 0.04
_PROBE_PER_S = 0.02
_COOL_FIRST_S = 0.25
_COOL_MOST_S = 30.0
_MIN_RATE = 1 / 60
_BURST_S = 0.1
_LATENCY_RISE = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right to send one request.

    Attributes:
        number: Counted from 1 in the order of sending.
        at: When it was sent, seconds.
        tokens: Tokens it was expected to use.
    """

    number: int
    at: float
    tokens: float


class Pacer:
    """The limits of one account, as far as they are known."""

    def __init__(self, limits: Limits) -> None:
        """Start with what a person told.

        Args:
            limits: Told limits.
        """
        self.told = limits
        self.in_flight = 0
        known = limits.requests_per_minute is not None or limits.concurrency_told
        start = limits.concurrency if known else _START_WINDOW
        self.window = float(min(start, limits.concurrency))
        self.rejected = 0
        self.answered = 0
        self._sent = 0
        self._cool_until = -math.inf
        self._cool_s = _COOL_FIRST_S
        self._latency_s: float | None = None
        self._latency_low_s = math.inf
        self._told_rate = limits.requests_per_minute / 60 if limits.requests_per_minute else None
        self._phase = "told" if self._told_rate else "open"
        self._requests = Bucket(rate=self._first_rate(), size=1.0)
        self._spread()
        tokens_rate = limits.tokens_per_minute / 60 if limits.tokens_per_minute else math.inf
        self._tokens = Bucket(rate=tokens_rate, size=max(1.0, tokens_rate * 2))
        self._newest_read = 0
        self._trust_left = True
        self._most_left = 0.0
        self._step_at: float | None = None
        self._ceiling = math.inf
        self._ceiling_at = -math.inf
        # The present stretch between two rejections.
        self._stretch_at: float | None = None
        self._resumed_at: float | None = None
        self._cut_number = 0
        self._closed_in_a_row = 0

    @property
    def rate(self) -> float:
        """Return the present rate, requests a second; infinite while nothing limits it."""
        return math.inf if self._phase == "open" else self._requests.rate

    @property
    def cool_until(self) -> float:
        """Return until when nobody may send."""
        return self._cool_until

    def wait_s(self, now: float, tokens: float = 0.0) -> float:
        """Return seconds to wait before a request may go out; infinite when an answer has to come first.

        Args:
            now: The time, seconds of a monotonic clock.
            tokens: Tokens that the request may use.
        """
        if self.in_flight >= math.floor(self.window):
            return math.inf
        self._grow_rate(now)
        waits = (self._cool_until - now, self._requests.wait_s(now), self._tokens.wait_s(now, tokens))
        return max(0.0, *waits)

    def send(self, now: float, tokens: float = 0.0) -> Ticket:
        """Note that a request goes out.

        Args:
            now: The time.
            tokens: Tokens that it may use.
        """
        self._sent += 1
        self.in_flight += 1
        self._requests.take(now)
        self._tokens.take(now, tokens)
        if self._stretch_at is None:
            self._stretch_at = now
        if self._resumed_at is None:
            self._resumed_at = now
        return Ticket(number=self._sent, at=now, tokens=tokens)

    def granted(
        self, ticket: Ticket, now: float, seen: Seen = NOTHING_SEEN, *, used_tokens: float | None = None
    ) -> None:
        """Note an answer.

        Args:
            ticket: Of the request.
            now: The time.
            seen: What its headers said.
            used_tokens: Tokens really used.
        """
        self.in_flight -= 1
        self.answered += 1
        self._cool_s = _COOL_FIRST_S
        self._note_latency(now - ticket.at)
        self._grow_window()
        if used_tokens is not None and self._tokens.rate < math.inf:
            self._tokens.level = min(self._tokens.size, self._tokens.level + ticket.tokens - used_tokens)
        self._read(ticket, now, seen)

    def limited(self, ticket: Ticket, now: float, seen: Seen = NOTHING_SEEN) -> None:
        """Note a 429: everybody is quiet for a while, and the rate falls, once for all requests of one moment.

        Args:
            ticket: Of the request.
            now: The time.
            seen: What its headers said.
        """
        self.in_flight -= 1
        self.rejected += 1
        self._read(ticket, now, seen)
        first_of_moment = ticket.number > self._cut_number
        if seen.retry_after_s is not None:
            self._cool_until = max(self._cool_until, now + seen.retry_after_s)
        elif first_of_moment:
            self._cool_until = max(self._cool_until, now + self._cool_s)
            self._cool_s = min(_COOL_MOST_S, self._cool_s * 2)
        if first_of_moment:
            self._reject(ticket, now)
        self._requests.level = min(self._requests.level, 0.0)

    def failed(self, ticket: Ticket, *, overloaded: bool = False) -> None:
        """Note that no answer came, for a reason that is not a limit.

        Args:
            ticket: Of the request.
            overloaded: The server said that it has too much to do.
        """
        self.in_flight -= 1
        if overloaded and ticket.number > self._cut_number:
            self._cut_number = self._sent
            self.window = max(1.0, self.window * 0.7)

    def _first_rate(self) -> float:
        return self._told_rate * _TOLD_MARGIN if self._told_rate else _START_RATE

    def _spread(self) -> None:
        """Set how many requests may catch up at once: few where nothing is known about the server's patience."""
        patient = self._phase == "told" and not self.rejected
        self._requests.size = max(1.0, self._requests.rate * (_BURST_S if patient else 0.01))
        self._requests.level = min(self._requests.level, self._requests.size)

    def _note_latency(self, latency_s: float) -> None:
        known = self._latency_s
        self._latency_s = latency_s if known is None else known + 0.1 * (latency_s - known)
        self._latency_low_s = min(self._latency_low_s, self._latency_s)

    def _grow_window(self) -> None:
        slow = self._latency_s is not None and self._latency_s > _LATENCY_RISE * self._latency_low_s
        if self.in_flight + 1 >= math.floor(self.window) and not slow:
            step = 2.0 if self._phase == "open" else 1.0
            self.window = min(float(self.told.concurrency), self.window + step)

    def _read(self, ticket: Ticket, now: float, seen: Seen) -> None:
        if seen.requests:
            self._take_told_rate(seen.requests / 60)
        if seen.tokens:
            self._tokens.rate = min(seen.tokens, self.told.tokens_per_minute or math.inf) / 60
            self._tokens.size = max(1.0, seen.tokens)
        if ticket.number < self._newest_read:
            return
        self._newest_read = ticket.number
        since = self._sent - ticket.number
        if seen.requests_left is not None and self._told_rate and self._trust_left:
            self._requests.fill(now)
            flown_in = self._requests.rate * (now - ticket.at)
            self._most_left = max(self._most_left, seen.requests_left)
            # A small bucket is emptied and filled several times while one answer is on its way.
            if self._most_left > 2 * flown_in + 5:
                left = min(self._most_left, seen.requests_left + flown_in - since)
                self._requests.level = max(-2.0, left)
        if seen.tokens_left is not None and self._tokens.rate < math.inf:
            self._tokens.fill(now)
            self._tokens.level = seen.tokens_left - since * ticket.tokens

    def _take_told_rate(self, rate: float) -> None:
        rate = min(rate, self.told.requests_per_minute / 60 if self.told.requests_per_minute else math.inf)
        if self._told_rate is not None and math.isclose(rate, self._told_rate):
            return
        self._told_rate = rate
        self._phase = "told"
        self._requests.rate = rate * _TOLD_MARGIN
        self._spread()

    def _grow_rate(self, now: float) -> None:
        if self._step_at is None:
            self._step_at = now
        passed_s = now - self._step_at
        if self._phase == "open":
            doublings = passed_s / _START_DOUBLING_S
            self._requests.rate = min(_OPEN_RATE, _START_RATE * 2 ** min(doublings, 20.0))
            self._requests.size = max(1.0, self._requests.rate * 0.01)
        elif now < self._cool_until:
            self._step_at = self._cool_until
        elif self._phase == "ramp" and passed_s >= _RAMP_STEP_S:
            self._set_rate(self._requests.rate * _RAMP_FACTOR, now)
        elif self._phase in ("steady", "told") and passed_s >= 0.1:
            self._set_rate(self._higher_rate(now, passed_s), now)

    def _higher_rate(self, now: float, passed_s: float) -> float:
        rate = self._requests.rate
        top = self._told_rate * _TOLD_MARGIN if self._told_rate else math.inf
        plateau = min(self._ceiling * _PLATEAU, top)
        if rate < plateau:
            return min(plateau, rate * (1 + _RETURN_PER_S * passed_s))
        if self._phase == "steady" and now - self._ceiling_at > _PLATEAU_HOLD_S:
            return rate * (1 + _PROBE_PER_S * passed_s)
        if self._phase == "told" and now - self._ceiling_at > _PLATEAU_HOLD_S:
            return min(top, rate * (1 + _PROBE_PER_S * passed_s))
        return rate

    def _set_rate(self, rate: float, now: float) -> None:
        self._requests.fill(now)
        self._requests.rate = max(_MIN_RATE, rate)
        self._step_at = now
        self._spread()

    def _reject(self, ticket: Ticket, now: float) -> None:
        """Act on the first rejection of a moment."""
        answers = max(0, ticket.number - 1 - self._cut_number)
        stretch_s = ticket.at - (ticket.at if self._stretch_at is None else self._stretch_at)
        if self._phase == "open":
            self._set_phase_after_open(now, answers, stretch_s)
            self._stretch_at = ticket.at
        elif answers >= _ENOUGH_ANSWERS or (answers and stretch_s >= _ENOUGH_S):
            self._cut(ticket, now, answers, stretch_s)
            self._stretch_at = ticket.at
        else:
            # Still closed: nothing is learned about the rate by knocking again at once.
            self._closed_in_a_row += 1
            if self._closed_in_a_row % _CLOSED_MOST == 0:
                self._set_rate(self._requests.rate / 2, max(now, self._cool_until))
        self._trust_left = False
        self._requests.level = 0.0
        self._resumed_at = None
        self._cut_number = self._sent

    def _set_phase_after_open(self, now: float, answers: int, stretch_s: float) -> None:
        """Begin the ramp. A bucket lets as much through in the time it took to empty and to cool down."""
        quiet_s = max(_COOL_FIRST_S, self._cool_until - now)
        start = max(answers / (stretch_s + quiet_s), min(_RAMP_RATE, self._requests.rate / 4))
        # A window of a second, or a bucket of a second's worth, is known well by now; a small bucket is not.
        self._phase = "steady" if answers >= _TELLING_ANSWERS else "ramp"
        self._set_rate(start, max(now, self._cool_until))

    def _cut(self, ticket: Ticket, now: float, answers: int, stretch_s: float) -> None:
        """Lower the rate to what the server let through since the last rejection.

        A bucket that saves up through the cool-down let through its rate over the whole stretch; one that saves nothing
        did so only while requests went out. The truth lies between.
        """
        paced_at = self._requests.rate
        active_s = ticket.at - (ticket.at if self._resumed_at is None else self._resumed_at)
        saved = answers / max(stretch_s, 1e-3)
        unsaved = answers / max(active_s, 1e-3)
        if self._phase == "ramp":
            lower = max(saved, min(1.25 * unsaved, paced_at / 1.25))
        else:
            lower = max(math.sqrt(saved * paced_at), _BACK_OFF * paced_at)
        self._closed_in_a_row = 0
        self._ceiling, self._ceiling_at = paced_at, now
        self._phase = "told" if self._told_rate else "steady"
        self._set_rate(min(lower, 0.97 * paced_at), max(now, self._cool_until))
