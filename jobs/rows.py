"""The internal forms of a row, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.jobs.spec import DatasetRef, RowFormat

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRow:
    """A conversation that ends with an assistant's turn, or, in a validation set alone, with the question.

    Attributes:
        messages: OpenAI chat messages: `role`, `content`, and where given `weight`, `name`, `tool_calls`,
            `tool_call_id`.
        tools: OpenAI tool definitions.
        parallel_tool_calls: Whether the model may call several tools at once; `None` is the provider's default.
        extra: Other keys of the row (lineage, ids), kept but not trained on.
        line: Line in the source file, from 1.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    parallel_tool_calls: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    line: int = 0

    @property
    def answered(self) -> bool:
        """Say whether there is an answer to train on, or to compare with."""
        return bool(self.messages) and self.messages[-1]["role"] == "assistant"

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Return the messages before the answer."""
        return self.messages[:-1] if self.answered else self.messages

    @property
    def expected(self) -> str:
        """Return the text of the answer; empty when there is none."""
        return str(self.messages[-1].get("content") or "") if self.answered else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """A prompt with a preferred and a non-preferred answer.

    Attributes:
        messages: The prompt.
        preferred: The assistant's message(s) that people prefer.
        non_preferred: The one(s) that they do not.
        tools: OpenAI tool definitions.
        parallel_tool_calls: Whether the model may call several tools at once; `None` is the provider's default.
        extra: Other keys of the row.
        line: Line in the source file, from 1.
    """

    messages: tuple[Message, ...]
    preferred: tuple[Message, ...]
    non_preferred: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    parallel_tool_calls: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    line: int = 0


Row = ChatRow | PreferenceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Parsed rows with their name; `store_dataset` puts them into the artifacts and gives the `DatasetRef`."""

    name: str
    format: RowFormat
    rows: tuple[Row, ...]
    ref: DatasetRef | None = None
