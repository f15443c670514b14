"""Asks a judge. Every reply is paid, so every reply is stored as it comes and none is asked for again.

One line of `judgements.jsonl` is one reply: under a key of everything that decides it, with what was read in it or why
nothing could be. What cannot be read, or is outside the scale, is asked once more, without a schema and with another
seed; then the judgement is missing, with its reason, and is never a number.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from anyio import CancelScope

from broker.evaluation.judging.values import Judgement, Question, UnreadableError
from broker.jobs.blocking import blocking
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import Decoding, JudgeSpec
from broker.providers.contract import Answer, Completer, CompletionRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path

JUDGEMENTS = "judgements.jsonl"
# So often is one judgement asked for.
TRIES = 2
# Added to the seed of a second try, beyond any number of samples.
_SECOND_SEED = 1_000_003
_SILENT = "the judge gave no answer"

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How far the judging is.

    Attributes:
        done: Judgements that came, missing ones included.
        total: Judgements wanted so far.
    """

    done: int
    total: int


class Judge:
    """A model that judges, with everything that it said about one evaluation (or one pair)."""

    def __init__(
        self,
        spec: JudgeSpec,
        opened: Callable[[], Completer],
        path: Path,
        *,
        on_judged: Callable[[Counted], None] = lambda _counted: None,
        again: bool = False,
    ) -> None:
        """Keep what judging needs; nothing is opened yet.

        Args:
            spec: The model and how it is asked.
            opened: Returns what asks it; called when the first judgement is wanted.
            path: The file of its replies.
            on_judged: Called with every reply.
            again: Ask once more for judgements that are missing since an earlier session (a person's new attempt).
        """
        self._spec = spec
        self._opened = opened
        self._completer: Completer | None = None
        self._path = path
        self._report = on_judged
        self._again = again
        self._done = self._total = 0

    @property
    def spec(self) -> JudgeSpec:
        """Return the model and how it is asked."""
        return self._spec

    async def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """Return a judgement for each question, in order; what is stored already is not asked.

        Args:
            questions: What is to be judged.

        Raises:
            UnavailableError: The judge cannot answer now; what came is stored.
            ProviderError: The judge's account is refused.
            StoreError: The disk refused.
        """
        file = await blocking(RowFile, self._path)
        try:
            keys = [self.key(question) for question in questions]
            replies = _by_key(await blocking(file.read))
            allowed = {key: self._allowed(replies.get(key, [])) for key in keys}
            self._total += len(keys)
            self._done += sum(_settled(replies.get(key, []), allowed[key]) for key in keys)
            self._report(Counted(done=self._done, total=self._total))
            while missing := {
                key: question
                for key, question in zip(keys, questions, strict=True)
                if not _settled(replies.get(key, []), allowed[key])
            }:
                await self._round(missing, replies, allowed, file)
            return [_judgement(replies[key]) for key in keys]
        finally:
            await blocking(file.close)

    def key(self, question: Question) -> str:
        """Return the hash of everything that decides a judgement."""
        spec = self._spec
        parts = [spec.label, spec.temperature, spec.max_tokens, spec.seed, question.about, question.row]
        whole = json.dumps([*parts, question.sample, [dict(one) for one in question.messages]], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:24]

    async def missing(self, questions: Sequence[Question]) -> list[Question]:
        """Return the questions that `ask` would still have to ask.

        Raises:
            StoreError: The file cannot be read.
        """
        replies = _by_key((await blocking(RowFile, self._path)).read())
        found = [(question, replies.get(self.key(question), [])) for question in questions]
        return [question for question, lines in found if not _settled(lines, self._allowed(lines))]

    async def paid(self, questions: Sequence[Question]) -> float:
        """Return what the stored replies to questions cost in all sessions, USD.

        Raises:
            StoreError: The file cannot be read.
        """
        keys = {self.key(question) for question in questions}
        lines = (await blocking(RowFile, self._path)).read()
        return sum(float(line.get("cost_usd") or 0.0) for line in lines if line.get("key") in keys)

    async def aclose(self) -> None:
        """Release what was opened."""
        if self._completer is not None:
            with CancelScope(shield=True):
                await self._completer.aclose()

    async def _round(
        self, missing: Mapping[str, Question], replies: dict[str, list[Line]], allowed: Mapping[str, int], file: RowFile
    ) -> None:
        """Ask for what is missing once and store what comes; what does not come is stored as missing."""
        if self._completer is None:
            self._completer = self._opened()
        held = getattr(self._completer, "holds_schema", True)
        requests = [self._request(key, one, len(replies.get(key, [])), held=held) for key, one in missing.items()]
        waiting = dict(missing)
        stream = cast("AsyncGenerator[Answer, None]", self._completer.complete(requests))
        async with aclosing(stream):
            async for answer in stream:
                question = waiting.pop(answer.id, None)
                if question is not None:
                    await self._keep(answer, question, replies, allowed, file)
        for key, question in waiting.items():
            await self._keep(Answer(id=key, failure=_SILENT), question, replies, allowed, file)

    async def _keep(
        self,
        answer: Answer,
        question: Question,
        replies: dict[str, list[Line]],
        allowed: Mapping[str, int],
        file: RowFile,
    ) -> None:
        line = _line(answer, question)
        await blocking(file.append, [line])
        replies.setdefault(answer.id, []).append(line)
        if _settled(replies[answer.id], allowed[answer.id]):
            self._done += 1
            self._report(Counted(done=self._done, total=self._total))

    def _request(self, key: str, question: Question, tries: int, *, held: bool) -> CompletionRequest:
        spec = self._spec
        decoding = Decoding(
            temperature=spec.temperature,
            max_tokens=spec.max_tokens,
            seed=spec.seed + question.sample + _SECOND_SEED * tries,
        )
        schema = question.schema if held and not tries else None
        return CompletionRequest(id=key, messages=question.messages, decoding=decoding, schema=schema)

    def _allowed(self, lines: Sequence[Line]) -> int:
        return max(TRIES, len(lines) + 1) if self._again else TRIES


def spent(path: Path) -> float:
    """Return what all stored replies of a file cost, USD (blocking).

    Raises:
        StoreError: The file cannot be read.
    """
    return sum(float(line.get("cost_usd") or 0.0) for line in RowFile(path).read())


def _line(answer: Answer, question: Question) -> Line:
    """Return the line to store for a reply."""
    value, reason, failure = None, "", answer.failure
    if failure is None:
        try:
            value, reason = question.read(answer.text)
        except UnreadableError as error:
            failure = f"unreadable: {error}"
    judged = {"about": question.about, "row": question.row, "sample": question.sample, "value": value}
    usage = replace(answer, failure=None)
    paid = {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "cost_usd", "latency_s")}
    return {"key": answer.id, **judged, "reason": reason, "failure": failure, "text": answer.text, **paid}


def _by_key(lines: Sequence[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(str(line.get("key")), []).append(line)
    return found


def _settled(lines: Sequence[Line], allowed: int) -> bool:
    return len(lines) >= allowed or any(line["failure"] is None for line in lines)


def _judgement(lines: Sequence[Line]) -> Judgement:
    line = next((line for line in lines if line["failure"] is None), lines[-1])
    return Judgement(value=line["value"], reason=line["reason"], failure=line["failure"])
