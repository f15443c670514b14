"""The canonical form: OpenAI's own JSONL, one spelling for each row, so that equal rows have equal hashes.

Keys stand in a fixed order, white space and escapes are gone, and text is as it was given. Tool definitions keep the
order of their keys, because a chat template shows them to the model in that order. Other keys of a row (`extra`) are
not part of it: they change neither the training nor the hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import DataError, Problem
from broker.jobs.rows import ChatRow, Dataset, Message, PreferenceRow, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_ORDER = ("role", "content", "name", "tool_calls", "tool_call_id", "weight")


def to_canonical(row: Row) -> dict[str, Any]:
    """Return a row as one object of OpenAI's chat or preference JSONL.

    Args:
        row: A checked row.
    """
    if isinstance(row, ChatRow):
        return {"messages": _messages(row.messages), **_tool_keys(row)}
    return {
        "input": {"messages": _messages(row.messages), **_tool_keys(row)},
        "preferred_output": _messages(row.preferred),
        "non_preferred_output": _messages(row.non_preferred),
    }


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{key: message[key] for key in _ORDER if key in message} for message in messages]


def _tool_keys(row: Row) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if row.tools:
        keys["tools"] = [dict(tool) for tool in row.tools]
    if row.parallel_tool_calls is not None:
        keys["parallel_tool_calls"] = row.parallel_tool_calls
    return keys


def to_line(value: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON without white space, and without the line's end.

    Args:
        value: Plain JSON data.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_lines(dataset: Dataset) -> Iterator[str]:
    """Yield the lines of the canonical file, without their ends.

    Args:
        dataset: Checked rows.
    """
    return (to_line(to_canonical(row)) for row in dataset.rows)


def content_hash(dataset: Dataset) -> str:
    r"""Return the SHA-256 of the canonical file (each line ends with `\n`), the name it has in the artifacts.

    Args:
        dataset: Checked rows.
    """
    digest = hashlib.sha256()
    for line in canonical_lines(dataset):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def load_rows(source: Path | Iterable[str], *, extras: Iterable[str] = ()) -> Iterator[Row]:
    """Yield the rows of a canonical file. They were checked when they were read, so they are not checked again.

    Args:
        source: The file, or its lines.
        extras: Lines with the rows' other keys, one a row, if there are any.

    Raises:
        DataError: The file was changed or cut off after it was stored.
    """
    if isinstance(source, Path):
        with source.open(encoding="utf-8") as lines:
            yield from _load_lines(lines, extras, str(source))
    else:
        yield from _load_lines(source, extras, "rows")


def _load_lines(lines: Iterable[str], extras: Iterable[str], label: str) -> Iterator[Row]:
    others = iter(extras)
    for number, line in enumerate(lines, 1):
        try:
            yield _row(json.loads(line), json.loads(next(others, "{}")), number)
        except (ValueError, LookupError, TypeError) as error:
            what = f"not a canonical row: {type(error).__name__}: {error}"
            fix = "the stored file was changed; submit the data again"
            raise DataError([Problem(where=f"{label}:{number}", what=what, fix=fix)]) from None


def _row(value: Mapping[str, Any], extra: Mapping[str, Any], number: int) -> Row:
    line = int(extra.get("line", number))
    others = extra.get("extra", {})
    if "messages" in value:
        return ChatRow(
            messages=tuple(value["messages"]),
            tools=tuple(value.get("tools", ())),
            parallel_tool_calls=value.get("parallel_tool_calls"),
            extra=others,
            line=line,
        )
    prompt = value["input"]
    return PreferenceRow(
        messages=tuple(prompt["messages"]),
        preferred=tuple(value["preferred_output"]),
        non_preferred=tuple(value["non_preferred_output"]),
        tools=tuple(prompt.get("tools", ())),
        parallel_tool_calls=prompt.get("parallel_tool_calls"),
        extra=others,
        line=line,
    )
