"""The questions of a validation set, as they are sent: the same for every model, but for the prompt policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.jobs.rows import ChatRow, Dataset, Row
from broker.jobs.spec import Decoding, PromptPolicy
from broker.providers.contract import CompletionRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYSTEM_ROLES = frozenset({"system", "developer"})
# `weight` and the like belong to training files; servers refuse them in a request.
_SENT_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")


def prompts(
    dataset: Dataset, policy: PromptPolicy | None = None, decoding: Decoding | None = None
) -> list[CompletionRequest]:
    """Make one request per row, in order.

    Args:
        dataset: The validation set.
        policy: Which system message goes along; each row's own when not given.
        decoding: How answers are drawn.

    Returns:
        Requests whose `id` is the row's position, from "0".
    """
    rule, drawn = policy or PromptPolicy(), decoding or Decoding()
    return [
        CompletionRequest(id=str(i), messages=_messages(row, rule), decoding=drawn)
        for i, row in enumerate(dataset.rows)
    ]


def expected(row: Row) -> str:
    """Return the expected answer of a row: the last assistant turn, or the preferred one."""
    if isinstance(row, ChatRow):
        return row.expected
    return str(row.preferred[-1].get("content") or "") if row.preferred else ""


def _messages(row: Row, policy: PromptPolicy) -> tuple[Mapping[str, Any], ...]:
    given = row.prompt if isinstance(row, ChatRow) else row.messages
    sent = [{key: message[key] for key in _SENT_KEYS if key in message} for message in given]
    if policy.system is None:
        return tuple(sent)
    rest = [message for message in sent if message["role"] not in _SYSTEM_ROLES]
    return tuple([{"role": "system", "content": policy.system}, *rest] if policy.system else rest)
