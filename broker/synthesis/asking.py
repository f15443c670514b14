"""Asks the model for the rows of a pipeline: every answer is stored before it is used, within the money there is.

Two ways to send. *Streamed*: each request goes out when its row needs it; the account's gateway holds the rate. In
*waves*: where requests are cheaper or faster together (local batches, a Batch API), they are gathered until no row can
go on without an answer, and sent as one.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, cast

from anyio import CancelScope, Event, create_task_group, current_time, sleep_forever

from broker.jobs.codec import dump
from broker.providers.contract import Answer, Completer, CompletionRequest
from broker.synthesis.reading import Finding, read_answer
from broker.synthesis.rows import RejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from broker.jobs.spec import Decoding
    from broker.synthesis.answerbook import AnswerBook
    from broker.synthesis.prompting import Prompt
    from broker.synthesis.rows import Row

TRIES = 3
# A request that is out when the work is told to stop has so long to bring its answer home, seconds.
DRAIN_S = 10.0
# Why rows are given up when the money is spent.
BUDGET = "budget"
# With a budget so many requests go out before anything is known of their cost.
_UNTRIED = 20.0
# Each further try is drawn more freely, and may be longer where the last was cut off.
_WARMER, _WARMEST = 0.3, 1.0
_LONGER = 2


@dataclass(slots=True)
class Tally:
    """What was asked in this session.

    Attributes:
        requests: Sent and answered.
        in_flight: Sent and not answered.
        reused: Answers that an earlier session had paid for.
        taken: Answers that another job had paid for.
        cost_usd: Of all answers, those of earlier sessions included.
        input_tokens: Of this session's answers.
        output_tokens: Likewise.
    """

    requests: int = 0
    in_flight: int = 0
    reused: int = 0
    taken: int = 0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request that waits for its answer."""

    key: str
    request: CompletionRequest
    done: Event = field(default_factory=Event)
    answer: Answer | None = None
    sent: bool = False


class Asker:
    """Asks one model for one job."""

    def __init__(
        self,
        completer: Completer,
        book: AnswerBook,
        *,
        decoding: Decoding,
        model: str,
        price: Callable[[CompletionRequest], float],
        limit_usd: float | None = None,
        waves: bool = False,
    ) -> None:
        """Keep how to ask.

        Args:
            completer: Asks the model; the caller closes it.
            book: Holds the answers.
            decoding: How first answers are drawn; each row has a seed of its own.
            model: What decides the answers beside the request; part of the key.
            price: Returns the most that a request may cost, USD.
            limit_usd: Most that all answers of the job may cost together; None is no limit.
            waves: Gather requests and send them together.
        """
        self.tally = Tally(cost_usd=book.cost_usd)
        self.told: Callable[[], None] = lambda: None
        self.waves = waves
        self.broke = Event()
        self.moved = Event()
        self.waiting: list[_Waiting] = []
        # Rows whose request waits until others have come back and left money for it.
        self.short = 0
        self._completer = completer
        self._book = book
        self._decoding = decoding
        self._model = model
        self._price = price
        self._limit_usd = limit_usd
        self._promises = 0
        self._promised_usd = 0.0
        self._closed = False
        self._out: dict[CancelScope, Sequence[_Waiting]] = {}

    async def ask(self, row: Row, prompt: Prompt, schema: Mapping[str, Any] | None, values: Mapping[str, Any]) -> Any:
        """Ask for a row until there is an answer that can be used.

        Args:
            row: Whom it is for; its trail is written on.
            prompt: What to ask.
            schema: JSON schema that the answer must fit, if any.
            values: For the places of the prompt.

        Returns:
            The text, or with a schema the JSON value.

        Raises:
            RejectedError: No try brought one.
            ProviderError: The account as a whole is refused.
            StoreError: The disk refused.
        """
        row.trail.prompts[prompt.name] = prompt.sha256
        messages = prompt.messages(values)
        found = Finding(reason="error")
        longer = 1
        for attempt in range(TRIES):
            decoding = self._drawn(row, prompt, attempt, longer)
            request = CompletionRequest(id=row.id, messages=messages, decoding=decoding, schema=schema)
            answer = await self._answer(request)
            row.trail.count(prompt.name, answer)
            found = read_answer(answer, schema)
            if not found.reason:
                return found.value
            if not found.again:
                break
            longer *= _LONGER if found.reason == "length" else 1
        raise RejectedError(found.reason, f"{prompt.name}: {found.detail}")

    def _drawn(self, row: Row, prompt: Prompt, attempt: int, longer: int) -> Decoding:
        seed = _seed(self._decoding.seed, row.id, prompt.name, attempt)
        warmth = self._decoding.temperature + _WARMER * attempt
        temperature = min(max(_WARMEST, self._decoding.temperature), warmth)
        return replace(
            self._decoding, seed=seed, temperature=temperature, max_tokens=self._decoding.max_tokens * longer
        )

    async def _answer(self, request: CompletionRequest) -> Answer:
        """Return the stored answer to a request, or ask for it once."""
        key = self._key(request)
        if (known := self._book.get(key)) is not None:
            self.tally.reused += 1
            return known
        if (known := await self._book.take_over(key)) is not None:
            self.tally.taken += 1
            return known
        most_usd = self._price(request)
        await self._afford(most_usd)
        self._promises += 1
        self._promised_usd += most_usd
        try:
            mine = _Waiting(key=key, request=replace(request, id=key))
            mine.request = replace(mine.request, leaving=partial(self._note_sent, mine))
            if self.waves:
                self.waiting.append(mine)
                self.poke()
                await mine.done.wait()
            else:
                await self._send([mine])
        finally:
            self._promises -= 1
            self._promised_usd -= most_usd
            self.poke()
        return mine.answer or Answer(id=key, failure="the provider gave no answer", finish_reason="error")

    async def send_wave(self) -> None:
        """Send everything that waits, as one; rows whose answers come go on at once."""
        wave, self.waiting = self.waiting, []
        await self._send(wave)

    async def _send(self, wave: Sequence[_Waiting]) -> None:
        """Send requests by one call. Each answer is stored before it is given to whom it is for.

        Told to stop meanwhile, it waits for a while: what is out may be paid already.
        """
        if self._closed:
            await sleep_forever()
        with CancelScope(shield=True) as guard:
            self._out[guard] = wave
            left = {one.key: one for one in wave}
            self.tally.in_flight += len(left)
            try:
                if not getattr(self._completer, "tells_leaving", False):
                    await self._note_sent(*wave)
                # Answers that come together are stored together: one sync for all of them.
                async with (
                    create_task_group() as storing,
                    aclosing(self._completed([one.request for one in wave])) as answers,
                ):
                    async for answer in answers:
                        if answer.id in left:
                            storing.start_soon(self._take, left.pop(answer.id), answer)
            finally:
                del self._out[guard]
                self.tally.in_flight -= len(left)
                for one in left.values():
                    one.done.set()
                self.poke()
        if guard.cancelled_caught:
            await sleep_forever()  # the time is over, and whoever told us to stop ends this task

    async def _note_sent(self, *wave: _Waiting) -> None:
        """Write down what goes out now; what the account sends again by itself is the same request."""
        fresh = [one for one in wave if not one.sent]
        for one in fresh:
            one.sent = True
        if fresh:
            await self._book.note_sent(one.key for one in fresh)

    async def _take(self, one: _Waiting, answer: Answer) -> None:
        if answer.failure is not None and answer.finish_reason == "error":
            if one.sent:
                await self._book.note_unpaid(one.key)
        else:
            await self._book.keep(one.key, answer)
            self.tally.requests += 1
            self.tally.cost_usd += answer.cost_usd
            self.tally.input_tokens += answer.input_tokens
            self.tally.output_tokens += answer.output_tokens
        self.tally.in_flight -= 1
        one.answer = answer
        one.done.set()
        self.poke()
        self.told()

    def _completed(self, requests: Sequence[CompletionRequest]) -> AsyncGenerator[Answer, None]:
        # What cannot be held to a schema is asked by the prompt's words alone, and its answer checked all the same.
        held = getattr(self._completer, "holds_schema", True)
        sent = requests if held else [replace(request, schema=None) for request in requests]
        return cast("AsyncGenerator[Answer, None]", self._completer.complete(sent))

    def reach(self) -> float:
        """Return how many more requests there is money for, by what answers have cost so far; inf: no limit."""
        if self._limit_usd is None:
            return inf
        answers = len(self._book.paid)
        if not answers:
            return _UNTRIED
        each_usd = self._book.cost_usd / answers
        return (self._limit_usd - self.tally.cost_usd) / each_usd if each_usd > 0 else inf

    async def _afford(self, most_usd: float) -> None:
        """Wait until a request surely fits into the money that is left.

        Raises:
            RejectedError: It never will: from then on nothing is asked, and what needs no more answers comes through.
        """
        told = False
        while self._limit_usd is not None:
            fits = self.tally.cost_usd + self._promised_usd + most_usd <= self._limit_usd + 1e-9
            if fits and not self.broke.is_set():
                return
            if self.broke.is_set() or not self._promises:
                self.broke.set()
                raise RejectedError(BUDGET, "the budget is spent; with more of it the row goes on where it was")
            self.short += 1
            if not told:  # a wave may go out now
                told = True
                self.poke()
            try:
                await self.moved.wait()
            finally:
                self.short -= 1

    def poke(self) -> None:
        """Wake whoever waits for something to change."""
        moved, self.moved = self.moved, Event()
        moved.set()

    async def drain(self) -> None:
        """Send nothing more; wait until everything that is out has come home."""
        self._close(inf)
        while self.tally.in_flight:
            await self.moved.wait()

    def hurry(self) -> None:
        """Send nothing more; give what is out `DRAIN_S` to come home."""
        self._close(current_time() + DRAIN_S)

    def _close(self, deadline: float) -> None:
        """Call back what still waits for its turn at the account; the rest has until then to come home."""
        self._closed = True
        for guard, wave in list(self._out.items()):
            guard.deadline = min(guard.deadline, deadline)
            if not any(one.sent for one in wave):
                guard.cancel()

    def _key(self, request: CompletionRequest) -> str:
        parts = [self._model, request.messages, dump(request.decoding), request.schema, request.id]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _seed(*parts: object) -> int:
    """Return a seed that depends on these parts alone, in the range that every provider takes."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big") % (1 << 31)
