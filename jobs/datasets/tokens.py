"""Token counts: an estimate where no tokenizer is at hand, exact where one is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from broker.jobs.rows import PreferenceRow, Row

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4

Count = Callable[[str], int]


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: a quarter of its UTF-8 bytes (four English characters).

    Args:
        text: Any text.
    """
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def row_tokens(row: Row, count: Count = estimate_tokens) -> int:
    """Return the tokens of one row as it is trained on: every text, and four for each message's frame.

    A preference row is trained on twice (prompt with the preferred, prompt with the other answer); its two sequences
    are counted together.

    Args:
        row: A checked row.
        count: Tokens of a text.
    """
    return sum(sequence_tokens(row, count))


def sequence_tokens(row: Row, count: Count = estimate_tokens) -> tuple[int, ...]:
    """Return the tokens of each sequence that a row is trained on: one for chat, two for preference.

    Args:
        row: A checked row.
        count: Tokens of a text.
    """
    prompt = _messages_tokens(row.messages, count)
    if row.tools:
        prompt += count(json.dumps(row.tools, ensure_ascii=False))
    if isinstance(row, PreferenceRow):
        return prompt + _messages_tokens(row.preferred, count), prompt + _messages_tokens(row.non_preferred, count)
    return (prompt,)


def _messages_tokens(messages: Sequence[Mapping[str, Any]], count: Count) -> int:
    total = 0
    for message in messages:
        total += TOKENS_PER_MESSAGE + count(message.get("content") or "")
        if message.get("tool_calls"):
            total += count(json.dumps(message["tool_calls"], ensure_ascii=False))
    return total
