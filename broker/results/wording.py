"""Numbers and conditions in words: the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Any, cast

from broker.evaluation.metrics import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.results.values import Cell, Column, ResultRow

NOTHING = "–"
MINUS = "\u2212"
_ARROWS = {Direction.HIGHER: "↑", Direction.LOWER: "↓", Direction.NONE: ""}
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def number(column: Column, value: float | None) -> str:
    """Return a number of a column in the unit shown, without the unit."""
    if value is None:
        return NOTHING
    text = f"{value * column.scale:.{column.decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(column: Column, cell: Cell) -> str:
    """Return `[low, high]`, or nothing where there is none."""
    if cell.low is None or cell.high is None:
        return ""
    return f"[{number(column, cell.low)}, {number(column, cell.high)}]"


def marks(cell: Cell) -> str:
    """Return the star of the best, the sign of a tie with it, and the letters."""
    sign = "★" if cell.best else "=" if cell.tied else ""
    return " ".join(part for part in (sign, cell.letters) if part)


def head(column: Column) -> list[str]:
    """Return the parts of a column's head: its name, what belongs to the name, its unit and the better direction."""
    name, _, rest = column.label.partition(" (")
    arrow = _ARROWS[column.direction]
    unit = f"({column.unit})" if column.unit and column.unit != "%" else column.unit
    return [part for part in (name, rest.removesuffix(")"), f"{unit} {arrow}".strip()) if part]


def title(column: Column) -> str:
    """Return a column's head in one line."""
    name, *rest = head(column)
    return f"{name} ({', '.join(part.replace('(', '').replace(')', '') for part in rest)})" if rest else name


def short(column: Column) -> str:
    """Return a column's name with its better direction, where there is little room."""
    arrow = _ARROWS[column.direction]
    return f"{column.label.partition(' (')[0]} {arrow}".strip()


def difference(column: Column, value: float | None) -> str:
    """Return a difference with its unit: points for percentages."""
    if value is None:
        return NOTHING
    unit = "points" if column.unit == "%" else column.unit
    scaled = abs(value) * column.scale
    places = max(column.decimals, 0 if scaled == 0 else -floor(log10(scaled))) if scaled < 1 else column.decimals
    return f"{scaled:.{places}f} {unit}".strip()


def signed(column: Column, value: float | None) -> str:
    """Return a difference with its sign and its unit."""
    if value is None:
        return NOTHING
    text = difference(column, value)
    zero = float(text.split(" ", maxsplit=1)[0]) == 0
    return text if zero else f"{'+' if value > 0 else MINUS}{text}"


def bounds(column: Column, low: float | None, high: float | None) -> str:
    """Return the ends of a difference's interval with their signs, `[−3.1, +0.7]`; nothing where there are none."""
    if low is None or high is None:
        return ""
    ends = [f"{end * column.scale:+.{column.decimals}f}".replace("-", MINUS) for end in (low, high)]
    return f"[{', '.join(ends)}]"


def chance(p: float) -> str:
    """Return a p value as one prints it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `0.4 s`, `38 s`, `4 min 05 s`, `2 h 10 min`, `1 d 3 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    minutes = round(seconds / _MINUTE_S)
    if whole < _DAY_S:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def money(usd: float | None) -> str:
    """Return dollars: `$0`, `$0.0042`, `$3.50`, `$1,240`."""
    if usd is None:
        return NOTHING
    if usd == 0:
        return "$0"
    if usd < 0.01:
        return f"${usd:.4f}" if usd >= 0.00005 else "<$0.0001"
    return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"


def count(value: int | None) -> str:
    """Return a whole number with commas."""
    return NOTHING if value is None else f"{value:,}"


def asked(row: ResultRow) -> str:
    """Return how many prompts were answered; `197/200` when some failed."""
    return f"{(row.n or 0) - row.failed:,}/{row.n:,}" if row.failed else count(row.n)


def status(row: ResultRow) -> str:
    """Return where the work of an unfinished row stands: `tuning failed`, `evaluation running`; empty when done."""
    if row.done:
        return ""
    return row.state if row.state.startswith("no") else f"{row.stage} {row.state}"


def first_line(text: str, longest: int = 160) -> str:
    """Return the first line of a text, shortened."""
    line = text.strip().split("\n", maxsplit=1)[0]
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def several(condition: Any) -> list[str]:
    """Return a condition as texts: one, or as many as occur where rows differ, or none."""
    found = cast("list[object]", condition) if isinstance(condition, list) else [condition]
    return [str(one) for one in found if one is not None]


def version(text: str) -> str:
    """Return a metric's version as one reads it."""
    return f"version {text}" if text.replace(".", "").isdigit() else text


def decoding(settings: Mapping[str, Any]) -> str:
    """Return how answers were drawn."""
    temperature = float(settings.get("temperature", 0))
    drawn = "greedy" if temperature == 0 else f"temperature {temperature:g}, top-p {settings.get('top_p', 1):g}"
    seed = "" if temperature == 0 else f", seed {settings.get('seed')}"
    return f"{drawn}, at most {settings.get('max_tokens')} tokens{seed}"
