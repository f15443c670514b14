"""A prompt as the body of a `generateContent`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.providers.foreign_json import Item, entries, fields
from broker.providers.gemini.families import Family
from broker.providers.gemini.schemas import narrowed

if TYPE_CHECKING:
    from broker.providers.contract import CompletionRequest

# Limit of the API.
MOST_STOPS = 5
# Characters of a token, roughly, where no tokenizer is known.
_TOKEN_LENGTH = 4
_ROLES = {"user": "user", "assistant": "model", "model": "model"}
# The categories that a person may set, and how strict the filter may be.
_CATEGORIES = tuple(
    f"HARM_CATEGORY_{name}" for name in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
)
THRESHOLDS = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")
_SYSTEM = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """How one model is asked.

    Attributes:
        family: What the model takes.
        thinking: Its `thinkingConfig`, where a person set one.
        safety: Threshold of every category of the safety filter; Gemini's own when empty.
    """

    family: Family = field(default_factory=Family)
    thinking: Mapping[str, Any] = field(default_factory=dict[str, Any])
    safety: str = ""

    def problem(self, request: CompletionRequest) -> str:
        """Say why a prompt cannot be asked here; empty when it can.

        Args:
            request: The prompt.
        """
        for message in request.messages:
            role = str(message.get("role"))
            if role not in _ROLES and role not in _SYSTEM:
                return f"unaskable: a message of the role {role!r}; Gemini is asked with system, user and assistant"
            if any(fields(part).get("type") != "text" for part in _parts(message.get("content"))):
                return "unaskable: a message holds something other than text"
        turns = _turns(request)
        if not turns:
            return "unaskable: the prompt has no text but the system message"
        if turns[-1]["role"] == "model" and self.family.draws_by_itself:
            return "unaskable: the prompt ends with the model's own turn, which this model does not go on with"
        return ""

    def body(self, request: CompletionRequest) -> Item:
        """Return the body of `models/NAME:generateContent`.

        Args:
            request: A prompt without a `problem`.
        """
        system = [{"text": _text(one)} for one in request.messages if one.get("role") in _SYSTEM and _text(one)]
        body: Item = {"contents": _turns(request), "generationConfig": self._config(request)}
        if system:
            body["systemInstruction"] = {"parts": system}
        if self.safety:
            body["safetySettings"] = [{"category": name, "threshold": self.safety} for name in _CATEGORIES]
        return body

    def tokens(self, request: CompletionRequest) -> float:
        """Return the tokens that a request may use, as a rate limit counts them: the prompt and the longest answer."""
        length = sum(len(_text(message)) for message in request.messages)
        return length / _TOKEN_LENGTH + request.decoding.max_tokens

    def _config(self, request: CompletionRequest) -> Item:
        decoding = request.decoding
        config: Item = {"maxOutputTokens": decoding.max_tokens, "seed": decoding.seed}
        if not self.family.draws_by_itself:
            config |= {"temperature": decoding.temperature, "topP": decoding.top_p}
        if request.stop:
            config["stopSequences"] = list(request.stop[:MOST_STOPS])
        if request.schema is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": narrowed(request.schema)}
        if self.thinking:
            config["thinkingConfig"] = dict(self.thinking)
        return config


def _turns(request: CompletionRequest) -> list[Item]:
    """Return the turns; neighbours of one role become one turn."""
    turns: list[Item] = []
    for message in request.messages:
        role, text = _ROLES.get(str(message.get("role"))), _text(message)
        if role is None or not text:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"].append({"text": text})
        else:
            turns.append({"role": role, "parts": [{"text": text}]})
    return turns


def _text(message: Mapping[str, Any]) -> str:
    return "\n".join(str(fields(part).get("text") or "") for part in _parts(message.get("content")))


def _parts(content: object) -> Sequence[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else entries(content)
