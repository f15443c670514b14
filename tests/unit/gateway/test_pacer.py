"""The pacer against simulated servers, in simulated time: limits found, few rejections, nothing lost."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.limits import Limits, Seen
from broker.gateway.pacer import Pacer, Ticket

RATE = 50.0


class Server(Protocol):
    def ask(self, now: float) -> float | None:
        """Return None when the request may pass, else seconds until one may."""
        ...

    def left(self) -> int: ...


@dataclass
class BucketServer:
    """Lets `rate` through, and saves up to `burst`."""

    rate: float = RATE
    burst: float = RATE
    level: float = -1.0
    at: float = 0.0

    def ask(self, now: float) -> float | None:
        level = self.burst if self.level < 0 else self.level
        self.level, self.at = min(self.burst, level + self.rate * (now - self.at)), now
        if self.level >= 1:
            self.level -= 1
            return None
        return (1 - self.level) / self.rate

    def left(self) -> int:
        return int(self.level)


@dataclass
class WindowServer:
    """Lets `most` through in any `seconds`."""

    most: int = 50
    seconds: float = 1.0
    sent: deque[float] = field(default_factory=deque[float])

    def ask(self, now: float) -> float | None:
        while self.sent and self.sent[0] <= now - self.seconds:
            self.sent.popleft()
        if len(self.sent) < self.most:
            self.sent.append(now)
            return None
        return self.sent[0] + self.seconds - now

    def left(self) -> int:
        return self.most - len(self.sent)


@dataclass
class OpenServer:
    """Has no limit."""

    def ask(self, now: float) -> float | None:
        del now
        return None

    def left(self) -> int:
        return 0


@dataclass
class Outcome:
    seconds: float
    sent: int
    rejected: int

    @property
    def share(self) -> float:
        return self.rejected / self.sent


def drive(
    server: Server, rows: int, *, latency_s: float = 0.1, told: float | None = None, headers: float | None = None,
    retry_after: str = "int", concurrency: int = 64, seed: int = 0,
) -> Outcome:  # fmt: skip
    """Ask `rows` prompts in simulated time."""
    dice, pacer = random.Random(seed), Pacer(Limits(requests_per_minute=told, concurrency=concurrency))
    air: list[tuple[float, int, Ticket, Seen, bool]] = []
    now, waiting, done, sent = 0.0, rows, 0, 0
    while done < rows:
        wait = math.inf
        while waiting and (wait := pacer.wait_s(now)) <= 0:
            ticket, after = pacer.send(now), server.ask(now)
            waiting, sent = waiting - 1, sent + 1
            seen = _seen(server, after, retry_after, headers)
            travel = dice.uniform(0.002, 0.012) if after is not None else latency_s * dice.uniform(0.7, 1.3)
            heapq.heappush(air, (now + travel, sent, ticket, seen, after is None))
        # A timer never rings early, and on a busy machine some milliseconds late.
        rings = now + max(wait, 0.0005) + dice.uniform(0, 0.003) if waiting else math.inf
        assert air or rings < math.inf, "nothing will ever happen again"
        if air and air[0][0] <= rings:
            now, _, ticket, seen, passed = heapq.heappop(air)
            (pacer.granted if passed else pacer.limited)(ticket, now, seen)
            done, waiting = done + passed, waiting + (not passed)
        else:
            now = rings
    assert pacer.in_flight == 0
    return Outcome(now, sent, pacer.rejected)


def _seen(server: Server, after: float | None, retry_after: str, headers: float | None) -> Seen:
    told = {"none": None, "int": float(max(1, math.ceil(after or 0))), "exact": after}[retry_after]
    left = server.left() if headers else None
    return Seen(retry_after_s=told if after is not None else None, requests=headers, requests_left=left)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("latency_s", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("retry_after", ["none", "int", "exact"])
def test_an_untold_limit_of_a_bucket_is_found(latency_s: float, retry_after: str, seed: int) -> None:
    found = drive(BucketServer(), 500, latency_s=latency_s, retry_after=retry_after, seed=seed)
    assert found.seconds <= 1.25 * 500 / RATE
    assert found.share <= 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("latency_s", [0.02, 0.1])
@pytest.mark.parametrize("retry_after", ["none", "int", "exact"])
def test_an_untold_limit_of_a_window_is_found(latency_s: float, retry_after: str, seed: int) -> None:
    found = drive(WindowServer(), 500, latency_s=latency_s, retry_after=retry_after, seed=seed)
    assert found.seconds <= 1.3 * 500 / 50
    assert found.share <= 0.1


@pytest.mark.parametrize("seconds", [60.0, 20.0])
@pytest.mark.parametrize("retry_after", ["int", "exact"])
def test_a_window_of_a_minute_is_waited_for(retry_after: str, seconds: float) -> None:
    found = drive(WindowServer(most=600, seconds=seconds), 1300, retry_after=retry_after)
    assert found.seconds <= 1.25 * 1300 / 600 * seconds
    assert found.share <= 0.1


@pytest.mark.parametrize("burst", [5, 10, 50, 100])
@pytest.mark.parametrize("latency_s", [0.02, 0.1, 0.5])
def test_a_told_limit_is_used_up_without_one_rejection(latency_s: float, burst: float) -> None:
    found = drive(BucketServer(burst=burst), 500, latency_s=latency_s, told=RATE * 60)
    assert found.seconds <= 1.15 * 500 / RATE
    assert found.rejected == 0


@pytest.mark.parametrize("burst", [25, 50, 500, 3000])
def test_a_limit_told_by_headers_is_used_up(burst: float) -> None:
    found = drive(BucketServer(burst=burst), 1000, told=None, headers=RATE * 60)
    assert found.seconds <= 1.15 * 1000 / RATE
    assert found.share <= 0.02
    if burst == 3000:
        assert found.seconds < 2, "what the headers grant at once is used at once"


@pytest.mark.parametrize("latency_s", [0.1, 0.2, 0.5])
def test_without_a_limit_the_latency_is_the_bound(latency_s: float) -> None:
    found = drive(OpenServer(), 1280, latency_s=latency_s)
    assert found.seconds <= 1.15 * 1280 / 64 * latency_s
    assert found.rejected == 0


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.2, 300), st.floats(1, 500), st.sampled_from(["none", "int", "exact"]), st.integers(0, 10**6),
    st.integers(1, 128),
)  # fmt: skip
def test_any_limit_is_borne(rate: float, burst: float, retry_after: str, seed: int, concurrency: int) -> None:
    rows = 120
    found = drive(BucketServer(rate, burst), rows, retry_after=retry_after, seed=seed, concurrency=concurrency)
    assert found.sent == rows + found.rejected
    assert found.seconds <= 60 + 4 * rows / rate + rows / concurrency


def test_everybody_is_quiet_while_the_server_asks_for_it() -> None:
    pacer = Pacer(Limits())
    first, second = pacer.send(0.0), pacer.send(0.0)
    pacer.limited(first, 0.1, Seen(retry_after_s=9))
    assert pacer.wait_s(0.2) >= 8.8
    pacer.limited(second, 0.3, Seen(retry_after_s=2))
    assert pacer.wait_s(0.4) >= 8.6, "a shorter wish does not shorten a longer one"


def test_tokens_a_minute_are_kept_and_what_was_not_used_is_given_back() -> None:
    pacer = Pacer(Limits(tokens_per_minute=6000))
    now = spent = 0.0
    while now < 60:
        wait = pacer.wait_s(now, 100)
        if wait <= 0:
            ticket = pacer.send(now, 100)
            pacer.granted(ticket, now, used_tokens=50)
            spent += 50
        else:
            now += min(wait, 1.0)
    assert 0.8 * 6000 <= spent <= 1.1 * 6000


def test_an_overloaded_server_gets_fewer_at_once() -> None:
    pacer = Pacer(Limits())
    before = pacer.window
    pacer.failed(pacer.send(0.0), overloaded=True)
    assert pacer.window < before
    pacer.failed(pacer.send(0.0))
    assert pacer.in_flight == 0
