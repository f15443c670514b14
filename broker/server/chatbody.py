"""What a chat is asked for with: which parameters act, which are taken without effect, and which are refused.

*Act*: model, messages, temperature, top_p, seed, stop, n, max_tokens, max_completion_tokens, logprobs, top_logprobs,
stream, stream_options.include_usage, metadata (given back).

*Refused* (400, `unsupported_parameter`): response_format other than `text`, audio output, tools that may be
called, a `logit_bias` that is not zero, content parts other than text.

*Taken without effect*, and named in the answer's header `x-broker-ignored` (`IGNORED` below).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from broker.server.bodies import Metadata  # noqa: TC001  # pydantic reads it at run time
from broker.server.errors import ApiError, invalid, unsupported
from broker.server.validation import Body

MAX_N = 128
_TEXT_PARTS = ("text", "refusal")
_IN_MEMORY = Literal["in_memory", "24h"]
IGNORED = (
    "audio",
    "frequency_penalty",
    "functions",
    "logit_bias",
    "moderation",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "tools",
    "user",
    "verbosity",
    "web_search_options",
)


def _content(value: object) -> object:
    """Join the text parts of a content; what is no text stays for `_check_parts` to refuse."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError("expected a string or an array of content parts with at least one item")
    return "".join(_part_text(part) for part in cast("list[object]", value))


def _part_text(part: object) -> str:
    found = cast("dict[str, object]", part) if isinstance(part, dict) else {}
    kind = found.get("type")
    if not isinstance(kind, str):
        raise ValueError("each content part is an object with a 'type'")
    if kind not in _TEXT_PARTS:
        raise ValueError(f"this server serves text only, but got a content part of type {kind[:40]!r}")
    text = found.get(kind)
    if not isinstance(text, str):
        raise ValueError(f"a content part of type {kind!r} has its words in {kind!r}")
    return text


def _stop(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ChatMessage(Body):
    """One message. Content parts have become one text."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Annotated[str | None, BeforeValidator(_content)] = None
    name: str | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_content(self) -> ChatMessage:
        silent = self.role == "assistant" and (self.tool_calls or self.function_call or self.refusal or self.audio)
        if self.content is None and not silent and self.role != "function":
            raise ValueError(f"a message of role {self.role!r} needs a content")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role 'tool' needs a tool_call_id")
        return self

    @property
    def plain(self) -> dict[str, Any]:
        """Return the message for a chat template: OpenAI's `developer` is everybody's `system`."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        message: dict[str, Any] = {"role": role, "content": self.content or ""}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        return message


class StreamOptions(Body):
    """What a stream carries besides the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ResponseFormat(Body):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class Chat(Body):
    """A chat completion."""

    model: str = Field(min_length=1, max_length=512)
    messages: list[ChatMessage] = Field(min_length=1, max_length=2048)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: Annotated[list[str] | None, BeforeValidator(_stop)] = Field(default=None, max_length=4)
    n: int | None = Field(default=None, ge=1, le=MAX_N)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = Field(default=None, min_length=1, max_length=128)
    function_call: Any = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, int] | None = None
    moderation: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: _IN_MEMORY | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    safety_identifier: str | None = Field(default=None, max_length=64)
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    user: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | None = None

    @property
    def ignored(self) -> list[str]:
        """Return the names of the parameters given that have no effect here."""
        return [name for name in IGNORED if name in self.model_fields_set and getattr(self, name) is not None]

    @property
    def limit(self) -> int | None:
        """Return the most tokens of the answer, if the client says it."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def with_usage(self) -> bool:
        """Say whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


def refuse_unsupported(chat: Chat) -> None:
    """Refuse what would change the answer's form and cannot be served.

    Args:
        chat: The body.

    Raises:
        ApiError: 400 about the first such parameter.
    """
    problem = _unsupported(chat)
    if problem is not None:
        raise problem
    if chat.top_logprobs and not chat.logprobs:
        raise invalid("Invalid 'top_logprobs': it needs 'logprobs' to be true.", param="top_logprobs")


def _unsupported(chat: Chat) -> ApiError | None:
    if chat.response_format is not None and chat.response_format.type != "text":
        return unsupported("response_format", f"type '{chat.response_format.type}' needs constrained decoding")
    if chat.modalities and "audio" in chat.modalities:
        return unsupported("modalities", "its models answer in text")
    if chat.tools and chat.tool_choice != "none":
        return unsupported("tools", "its models call no tools; leave them out or send tool_choice 'none'")
    if chat.functions and chat.function_call != "none":
        return unsupported("functions", "its models call no functions; leave them out or send function_call 'none'")
    if chat.logit_bias and any(chat.logit_bias.values()):
        return unsupported("logit_bias", "its tokens are the local model's own, not OpenAI's")
    return None
