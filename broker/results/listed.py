"""A model as a short list, for terminals too narrow for columns; the numbers of a list stand under each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def packed(parts: Sequence[str], gap: str, width: int) -> Iterator[Text]:
    """Yield indented lines of whole parts, as many to a line as fit.

    Args:
        parts: Short texts.
        gap: What stands between two of them.
        width: Of the terminal.
    """
    line = ""
    for part in parts:
        if line and cell_len(f"{line}{gap}{part}") > width:
            yield Text(line, style="dim")
            line = ""
        line = f"{line}{gap}{part}" if line else f"  {part}"
    if line:
        yield Text(line, style="dim")


def numbered(names: Sequence[str], numbers: Sequence[Text | None], width: int) -> Iterator[Text]:
    """Yield `  name  number [interval]` for each metric, the interval in a line of its own where it has no room.

    Args:
        names: Of the metrics.
        numbers: With their marks and intervals; None where a model has none.
        width: Of the terminal.
    """
    wide = max(map(cell_len, names), default=0)
    parts = [None if number is None else _parts(number) for number in numbers]
    there = [part for part in parts if part is not None]
    high, marks = (max((part[i].cell_len for part in there), default=0) for i in (0, 1))
    for name, part in zip(names, parts, strict=True):
        if part is None:
            continue
        value, mark, ends = part
        before = " " * (wide - cell_len(name) + high - value.cell_len)
        after = " " * (marks - mark.cell_len)
        one = Text.assemble(f"  {name} {before}", value, mark, after, ends)
        one.rstrip()
        if one.cell_len <= width:
            yield one
            continue
        yield Text.assemble(f"  {name} {before}", value, mark)
        yield Text.assemble(" " * max(0, width - len(ends.plain.strip())), ends.plain.strip(), style="dim")


def _parts(number: Text) -> tuple[Text, Text, Text]:
    """Return a number, its marks, and its interval with the blank before it."""
    plain = number.plain
    bracket = plain.find(" [")
    end = len(plain) if bracket < 0 else bracket
    blank = plain.find(" ", len(plain) - len(plain.lstrip()))
    first = end if blank < 0 else min(blank, end)
    value, mark, ends = number[:first], number[first:end], number[end:]
    mark.rstrip()
    lead = len(value.plain) - len(value.plain.lstrip())
    return value[lead:], mark, ends
