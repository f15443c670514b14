"""Chat completions: from a body to answers, whole or as a stream."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.jobs.blocking import blocking
from broker.server.backend import Backend, ChatOrder, ChatPiece
from broker.server.errors import ApiError, no_such_model
from broker.server.records import unix_now

if TYPE_CHECKING:
    from broker.jobs.spec import ModelRef
    from broker.server.chatbody import Chat
    from broker.server.jobs import JobDesk
    from broker.server.metrics import Metrics
    from broker.server.naming import ModelNames

_MAX_SEED = 2**63
_IMPOSSIBLE = -9999.0  # what OpenAI says of a token that could not come


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list[str])
    logprobs: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    finish_reason: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, piece: ChatPiece) -> None:
        self.text.append(piece.text)
        self.logprobs.extend(piece.logprobs)
        if piece.finish_reason is not None:
            self.finish_reason = piece.finish_reason
            self.input_tokens = piece.input_tokens
            self.output_tokens = piece.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What every chunk and the whole answer of one request have in common."""

    id: str
    created: int
    model: str
    fingerprint: str

    def body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the frame of a `chat.completion` or a `chat.completion.chunk`."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "service_tier": "default",
            "choices": choices,
        }


class ChatDesk:
    """Answers chats."""

    def __init__(
        self, backend: Backend, names: ModelNames, jobs: JobDesk, metrics: Metrics, *, answer_tokens: int, waiting: int
    ) -> None:
        """Set up.

        Args:
            backend: The broker.
            names: Which base models clients may name.
            jobs: Knows the tuned models.
            metrics: What is counted.
            answer_tokens: Tokens of an answer when the client names no limit.
            waiting: Most answers in work or waiting.
        """
        self._backend = backend
        self._names = names
        self._jobs = jobs
        self._metrics = metrics
        self._answer_tokens = answer_tokens
        self._waiting = waiting
        self._open = 0

    async def model(self, name: str) -> tuple[str, ModelRef]:
        """Return the public name and the model that a client means. Raises `ApiError` 404."""
        base = self._names.find(name)
        if base is not None:
            against = await blocking(self._backend.against, base.base)
            if against:
                raise no_such_model(name[:200], against)
            return base.public, self._backend.base_ref(base.base)
        tuned = await self._jobs.tuned(name)
        if tuned is None:
            raise no_such_model(name[:200])
        return name, tuned[1]

    async def whole(self, chat: Chat) -> dict[str, Any]:
        """Return the whole answer, as a chat completion object.

        Args:
            chat: The body, with nothing unsupported in it.

        Raises:
            ApiError: 404 for the model, 429 when too many wait, 400 when the prompt does not fit.
        """
        public, model = await self.model(chat.model)
        choices = [_Choice() for _ in range(chat.n or 1)]
        with self._place(len(choices)):
            async with aclosing(self._pieces(chat, model)) as pieces:
                async for index, piece in pieces:
                    choices[index].add(piece)
        self._count(choices)
        reply = _reply(public, model)
        body = reply.body("chat.completion", [_choice_body(i, choice, chat) for i, choice in enumerate(choices)])
        body["usage"] = _usage(choices)
        return body | ({"metadata": chat.metadata} if chat.metadata else {})

    async def chunks(self, chat: Chat) -> AsyncGenerator[dict[str, Any]]:
        """Yield the chunks of a streamed answer.

        Args:
            chat: The body, with nothing unsupported in it.

        Raises:
            ApiError: As `whole`; before the first chunk unless the model fails midway.
        """
        public, model = await self.model(chat.model)
        reply = _reply(public, model)
        choices = [_Choice() for _ in range(chat.n or 1)]
        begun: set[int] = set()
        with self._place(len(choices)):
            async with aclosing(self._pieces(chat, model)) as pieces:
                async for index, piece in pieces:
                    choices[index].add(piece)
                    for choice in _chunk_choices(index, piece, first=index not in begun, logprobs=bool(chat.logprobs)):
                        chunk = reply.body("chat.completion.chunk", [choice])
                        yield chunk | {"usage": None} if chat.with_usage else chunk
                    begun.add(index)
        self._count(choices)
        if chat.with_usage:
            yield reply.body("chat.completion.chunk", []) | {"usage": _usage(choices)}

    async def _pieces(self, chat: Chat, model: ModelRef) -> AsyncGenerator[tuple[int, ChatPiece]]:
        """Yield (choice, piece) of all choices, as they come."""
        orders = [self._order(chat, model, index) for index in range(chat.n or 1)]
        if not orders[0].max_tokens:
            for index in range(len(orders)):
                yield index, ChatPiece(finish_reason="length")
            return
        async with aclosing(self._backend.chat(orders)) as pieces:
            async for index, piece in pieces:
                yield index, piece

    def _order(self, chat: Chat, model: ModelRef, index: int) -> ChatOrder:
        limit = self._answer_tokens if chat.limit is None else chat.limit
        seed = secrets.randbits(31) if chat.seed is None else chat.seed % _MAX_SEED + index
        return ChatOrder(
            model=model,
            messages=[message.plain for message in chat.messages],
            temperature=1.0 if chat.temperature is None else chat.temperature,
            top_p=1.0 if chat.top_p is None else chat.top_p,
            max_tokens=limit,
            seed=seed,
            stop=tuple(text for text in chat.stop or () if text),
            logprobs=(chat.top_logprobs or 0) if chat.logprobs else None,
            stream=bool(chat.stream),
        )

    @contextmanager
    def _place(self, answers: int) -> Generator[None]:
        if self._open + answers > self._waiting:
            message = "Too many requests are waiting for the model. Please try again in 1s."
            headers = {"retry-after": "1"}
            raise ApiError(429, message, code="rate_limit_exceeded", kind="requests", headers=headers)
        self._open += answers
        self._metrics.chats_open.inc(answers)
        try:
            yield
        finally:
            self._open -= answers
            self._metrics.chats_open.dec(answers)

    def _count(self, choices: Sequence[_Choice]) -> None:
        self._metrics.tokens.labels("input").inc(sum(choice.input_tokens for choice in choices))
        self._metrics.tokens.labels("output").inc(sum(choice.output_tokens for choice in choices))


def _reply(public: str, model: ModelRef) -> Reply:
    weights = f"{model.provider} {model.name} {model.adapter} {model.precision}"
    return Reply(
        id=f"chatcmpl-{secrets.token_hex(14)}",
        created=unix_now(),
        model=public,
        fingerprint=f"fp_{hashlib.sha256(weights.encode()).hexdigest()[:10]}",
    )


def _choice_body(index: int, choice: _Choice, chat: Chat) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": "".join(choice.text), "refusal": None, "annotations": []},
        "logprobs": _logprobs(choice.logprobs) if chat.logprobs else None,
        "finish_reason": choice.finish_reason,
    }


def _chunk_choices(index: int, piece: ChatPiece, *, first: bool, logprobs: bool) -> Iterator[dict[str, Any]]:
    """Yield the choices of the chunks that a piece becomes: role, text, end."""
    if first:
        delta = {"role": "assistant", "content": "", "refusal": None}
        yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    if piece.text or piece.logprobs:
        shown = _logprobs(piece.logprobs) if logprobs else None
        yield {"index": index, "delta": {"content": piece.text}, "logprobs": shown, "finish_reason": None}
    if piece.finish_reason is not None:
        yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": piece.finish_reason}


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"content": [_token(token) for token in tokens], "refusal": None}


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    others = [_one(other) for other in token.get("top_logprobs") or ()]
    return _one(token) | {"top_logprobs": others}


def _one(token: Mapping[str, Any]) -> dict[str, Any]:
    logprob = float(token["logprob"])
    shown = max(logprob, _IMPOSSIBLE) if math.isfinite(logprob) else _IMPOSSIBLE
    return {"token": token["token"], "logprob": shown, "bytes": token.get("bytes")}


def _usage(choices: Sequence[_Choice]) -> dict[str, Any]:
    """Count the prompt once, whatever `n` is, and all answers, as OpenAI does."""
    prompt = max(choice.input_tokens for choice in choices)
    answers = sum(choice.output_tokens for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answers,
        "total_tokens": prompt + answers,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def sse(body: Mapping[str, Any] | str) -> bytes:
    """Return one server-sent event."""
    text = (
        body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    )
    return f"data: {text}\n\n".encode()
