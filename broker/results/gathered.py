"""Remarks about several models as one sentence: a line for each would bury what a reader must not miss."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.results import wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A sentence about more models than these gives their number.
_MOST_NAMED = 3
_LONGEST_NAME = 80
_COUNTED = re.compile(r"(\d+) of (\d+) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Said:
    """A remark about one model: its words, and the count that they begin with, where they do."""

    label: str
    text: str
    few: int | None = None
    total: int | None = None


def gathered(remarks: Iterable[tuple[str, str]], models: int) -> list[str]:
    """Return a sentence for all remarks of the same words; those that begin with `3 of 200` may differ in that.

    Args:
        remarks: (label, remark), in the order of the table.
        models: How many the table has.
    """
    groups: dict[str, list[_Said]] = {}
    for label, remark in remarks:
        said = _read(wording.first_line(label, _LONGEST_NAME), remark)
        groups.setdefault(said.text, []).append(said)
    return [_sentence(group, models) for group in groups.values()]


def _read(label: str, remark: str) -> _Said:
    counted = _COUNTED.fullmatch(remark)
    if counted is None:
        return _Said(label, remark)
    return _Said(label, counted[3], int(counted[1]), int(counted[2]))


def _sentence(group: Sequence[_Said], models: int) -> str:
    first, text = group[0], group[0].text
    alike = len({(one.few, one.total) for one in group}) == 1
    if alike:
        counted = "" if first.few is None else f"{first.few} of {first.total} "
        return f"{_names([one.label for one in group], models)}: {counted}{text}"
    totals = {one.total for one in group}
    if len(group) <= _MOST_NAMED:
        each = [f"{one.label}: {one.few}" + ("" if len(totals) == 1 else f" of {one.total}") for one in group]
        return f"{', '.join(each)}{f' of {first.total}' if len(totals) == 1 else ''} {text}"
    most = max(group, key=lambda one: (one.few or 0) / (one.total or 1))
    few, of = _range([one.few or 0 for one in group]), _range([one.total or 0 for one in group])
    return f"{_number(len(group), models)} (most: {most.label}): {few} of {of} {text}"


def _names(labels: Sequence[str], models: int) -> str:
    """Return the models that a sentence is about: by name, or where they are many, their number."""
    if len(labels) <= _MOST_NAMED:
        return ", ".join(labels)
    return _number(len(labels), models) + ("" if len(labels) == models else f" ({labels[0]}, …)")


def _number(count: int, models: int) -> str:
    return f"all {count} models" if count == models else f"{count} models"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
