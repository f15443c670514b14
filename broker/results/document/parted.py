"""The parts of numbers on the page: what models follow of each kind of instruction, side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.results.breakdown import breakdowns

if TYPE_CHECKING:
    from broker.results.breakdown import Breakdown
    from broker.results.values import ResultRow, ResultsTable


def parts_section(table: ResultsTable) -> str:
    """Return a table for each number that has parts; nothing where none has."""
    return "".join(_one(found) for found in breakdowns(table))


def _one(found: Breakdown) -> str:
    heads = "".join(f'<th scope="col">{escape(row.label)}</th>' for row in found.models)
    body = "".join(_part(found, part, total) for part, total in found.totals.items())
    what = " / ".join(found.passed)
    title = f"{found.title}: {what}, by part"
    note = f"Percentages and bars: {found.passed[0]}. Beside them how many are {what}." if found.passed else ""
    return (
        f'<figure class="parts"><h3>{escape(title)}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table class="plain"><thead><tr>'
        f'<th scope="col">part</th><th scope="col" class="number">of</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div><figcaption>{escape(note)}</figcaption></figure>"
    )


def _part(found: Breakdown, part: str, total: int) -> str:
    cells = "".join(_cell(found, row, part) for row in found.models)
    name = escape(part).replace(":", ":<wbr>").replace("_", "_<wbr>")
    return f'<tr><th scope="row" class="text">{name}</th><td class="number">{total:,}</td>{cells}</tr>'


def _cell(found: Breakdown, row: ResultRow, part: str) -> str:
    share, counts = found.share(row.key, part), escape(found.words(row.key, part))
    if share is None:
        return f"<td>{counts}</td>"
    kind = "part tuned" if row.kind == "tuned" else "part"
    bar = f'<i style="--m:{100 * share:.1f}%" aria-hidden="true"></i>'
    return f'<td class="{kind}">{100 * share:.0f} % <small>{counts}</small>{bar}</td>'
