"""What a table says about validation prompts that were in training data and were allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.results.values import ResultRow

# So many prompts of a set are named.
_NAMED = 5


def with_overlap(rows: Sequence[ResultRow], overlap: Mapping[str, Any]) -> list[ResultRow]:
    """Return the rows, each with the number of validation prompts in its own training data.

    Args:
        rows: Of the table.
        overlap: As it was kept when it was allowed (`broker.api.overlaps`); empty where nothing was.
    """
    own: Mapping[str, int] = overlap.get("own", {})
    return [replace(row, overlap=own.get(row.evaluation_job or "", 0)) for row in rows]


def overlap_warnings(rows: Sequence[ResultRow], overlap: Mapping[str, Any]) -> list[str]:
    """Return the sentences that mark the table: what was shared with which sets, and which models had seen it.

    Args:
        rows: From `with_overlap`.
        overlap: As it was kept.
    """
    if not overlap:
        return []
    prompts = overlap.get("prompts")
    lines = [
        f"overlap, allowed: {len(each['rows'])} of {prompts} validation prompts are in {_use(each)} "
        f"{each['name']} of {each['owners']} ({_lines(each)})"
        for each in overlap.get("sets", {}).values()
    ]
    seen = [row for row in rows if row.overlap]
    told = [f"{row.label} ({row.overlap} of {prompts})" for row in seen]
    others = [row.label for row in rows if not row.overlap]
    if told:
        free = f"; not known of {', '.join(others)}" if others else ""
        lines.append(f"overlap: these models had seen validation prompts before: {', '.join(told)}{free}")
    else:
        lines.append("overlap: no model of this table is known to have been trained on those rows")
    return lines


def _use(each: Mapping[str, Any]) -> str:
    return "the rows looked at in training" if each.get("watched") else "the training data"


def _lines(each: Mapping[str, Any]) -> str:
    rows: Sequence[Sequence[Any]] = each["rows"]
    shown = [f"line {here} {'=' if how == 1 else '~'} line {there}" for here, there, how in rows[:_NAMED]]
    more = [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
    return ", ".join([*shown, *more])
