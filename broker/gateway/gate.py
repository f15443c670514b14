"""The gate that every request of an account passes: waits for the pacer, retries what a retry mends, loses nothing."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from broker.gateway.limits import NOTHING_SEEN, Limits, Seen
from broker.gateway.pacer import Pacer, Ticket

T = TypeVar("T")
# Only spreads retries over time.
_jitter = random.Random()


class Fate(StrEnum):
    """What an exception means for the request that raised it."""

    LIMITED = "limited"  # too many requests: wait as told and send again, as often as it takes
    OVERLOADED = "overloaded"  # the server has too much to do: send again, with fewer in the air
    RETRY = "retry"  # send again
    FINAL = "final"  # no retry mends it


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A reading of an exception.

    Attributes:
        fate: What to do.
        seen: What the answer's headers said.
    """

    fate: Fate
    seen: Seen = NOTHING_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[T]):
    """An answer with what it said about the limits.

    Attributes:
        value: The answer.
        seen: What its headers said.
        tokens: Tokens really used, if known.
    """

    value: T
    seen: Seen = NOTHING_SEEN
    tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on.

    Attributes:
        tries: Most tries of one request that fail for other reasons than a limit.
        first_s: Longest pause after the first failure, seconds; doubled after each.
        most_s: Longest pause, seconds.
        limited_s: Seconds for which nothing but 429s is borne before giving up.
    """

    tries: int = 6
    first_s: float = 0.5
    most_s: float = 30.0
    limited_s: float = 3600.0


@dataclass(slots=True)
class Gate:
    """One account's gate, shared by everything that asks there.

    Attributes:
        judge: Reads an exception.
        limits: What a person told about the account.
        patience: How long to go on.
        pacer: The limits as learned so far.
    """

    judge: Callable[[BaseException], Judgement]
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    pacer: Pacer = field(init=False)
    _turn: anyio.Lock = field(init=False)
    _moved: anyio.Event = field(init=False)
    _granted_at: float | None = None

    def __post_init__(self) -> None:
        """Start the pacer."""
        self.pacer = Pacer(self.limits)
        self._turn = anyio.Lock(fast_acquire=True)
        self._moved = anyio.Event()

    async def call(self, send: Callable[[], Awaitable[Reply[T]]], *, tokens: float = 0.0) -> T:
        """Send a request that may be sent again, until it is answered.

        Args:
            send: Sends it once.
            tokens: Tokens that it may use.

        Returns:
            The answer's value.

        Raises:
            BaseException: What `send` raised last, when no retry mends it or the patience is over.
        """
        course = _Course(self)
        retrying = AsyncRetrying(
            sleep=anyio.sleep,
            retry=retry_if_exception(course.again),
            stop=course.over,
            wait=course.pause_s,
            reraise=True,
        )
        return await retrying(self.once, send, tokens=tokens)

    async def once(self, send: Callable[[], Awaitable[Reply[T]]], *, tokens: float = 0.0) -> T:
        """Send a request once, when its turn comes.

        Args:
            send: Sends it.
            tokens: Tokens that it may use.
        """
        async with self._passage(tokens) as ticket:
            reply = await send()
            self._granted_at = anyio.current_time()
            self.pacer.granted(ticket, self._granted_at, reply.seen, used_tokens=reply.tokens)
        return reply.value

    @asynccontextmanager
    async def _passage(self, tokens: float) -> AsyncGenerator[Ticket]:
        ticket = await self._admit(tokens)
        try:
            yield ticket
        except BaseException as error:
            self._note(error, ticket)
            raise
        finally:
            moved, self._moved = self._moved, anyio.Event()
            moved.set()

    async def _admit(self, tokens: float) -> Ticket:
        async with self._turn:
            while (wait_s := self.pacer.wait_s(anyio.current_time(), tokens)) > 0:
                # Answers that come meanwhile may change the wait, in both directions.
                with anyio.move_on_after(None if math.isinf(wait_s) else wait_s):
                    await self._moved.wait()
            return self.pacer.send(anyio.current_time(), tokens)

    def _note(self, error: BaseException, ticket: Ticket) -> None:
        verdict = self.judge(error) if isinstance(error, Exception) else Judgement(fate=Fate.FINAL)
        if verdict.fate is Fate.LIMITED:
            self._granted_at = self._granted_at or anyio.current_time()
            self.pacer.limited(ticket, anyio.current_time(), verdict.seen)
        else:
            self.pacer.failed(ticket, overloaded=verdict.fate is Fate.OVERLOADED)

    @property
    def starved_s(self) -> float:
        """Return for how long nothing but 429s came, or will come as the server asked for quiet, seconds."""
        now = anyio.current_time()
        return max(now - (self._granted_at or now), self.pacer.cool_until - now)


@dataclass(slots=True)
class _Course:
    """One request on its way through its tries, as tenacity asks about it."""

    gate: Gate
    fate: Fate = Fate.FINAL
    failures: int = 0

    def again(self, error: BaseException) -> bool:
        self.fate = self.gate.judge(error).fate if isinstance(error, Exception) else Fate.FINAL
        self.failures += self.fate is not Fate.LIMITED
        return self.fate is not Fate.FINAL

    def over(self, _state: RetryCallState) -> bool:
        if self.fate is Fate.LIMITED:
            return self.gate.starved_s > self.gate.patience.limited_s
        return self.failures >= self.gate.patience.tries

    def pause_s(self, _state: RetryCallState) -> float:
        if self.fate is Fate.LIMITED:
            return 0.0  # the pacer's cool-down holds everybody, this request too
        patience = self.gate.patience
        longest_s = min(patience.most_s, patience.first_s * 2.0 ** (self.failures - 1))
        return longest_s * _jitter.uniform(0.5, 1.0)
