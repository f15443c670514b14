"""Reads the input file of a batch: every problem with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from broker.server.errors import ApiError
from broker.server.jsonbody import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_PROBLEMS = 100
_MAX_LINE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One request of a batch."""

    custom_id: str
    body: dict[str, Any]


def read_rows(path: Path, endpoint: str, most: int) -> tuple[list[BatchRow], list[dict[str, Any]]]:
    """Read all requests.

    Args:
        path: The input file.
        endpoint: What every row must call.
        most: Most rows.

    Returns:
        The requests, and the problems (at most `MOST_PROBLEMS`) as OpenAI's batch errors.
    """
    rows: list[BatchRow] = []
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, line in _lines(path):
        if len(rows) >= most:
            problems.append(_problem(number, "too_many_requests", f"a batch may have {most} requests"))
            break
        found = _row(number, line, endpoint, seen)
        if isinstance(found, BatchRow):
            rows.append(found)
        else:
            problems.append(found)
        if len(problems) >= MOST_PROBLEMS:
            break
    if not rows and not problems:
        problems.append(_problem(None, "empty_file", "the input file has no requests"))
    return rows, problems


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if line.strip():
                yield number, line
            if len(line) > _MAX_LINE:
                return


def _row(number: int, line: bytes, endpoint: str, seen: set[str]) -> BatchRow | dict[str, Any]:
    if len(line) > _MAX_LINE:
        return _problem(number, "line_too_long", f"a line may have {_MAX_LINE} bytes")
    try:
        data = parse_object(line)
    except ApiError as error:
        return _problem(number, "invalid_json_line", error.message)
    custom_id, body = data.get("custom_id"), data.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        return _problem(number, "missing_required_parameter", "each line needs a 'custom_id'", "custom_id")
    if custom_id in seen:
        return _problem(number, "duplicate_custom_id", f"the custom_id {custom_id[:80]!r} is used twice", "custom_id")
    seen.add(custom_id)
    if data.get("method") != "POST":
        return _problem(number, "invalid_method", "the 'method' must be 'POST'", "method")
    if data.get("url") != endpoint:
        return _problem(number, "mismatched_url", f"the 'url' must be {endpoint!r}, as the batch says", "url")
    if not isinstance(body, dict):
        return _problem(number, "missing_required_parameter", "each line needs a 'body'", "body")
    return BatchRow(custom_id=custom_id, body=cast("dict[str, Any]", body))


def _problem(line: int | None, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}
