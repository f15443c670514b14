"""What came out: one table of all models on the same prompts, with intervals, ties, conditions and costs.

`build_table` makes it (pure), `render_table` draws it in a terminal, `to_json`, `to_csv`, `to_markdown` and `to_html`
write it. Importing this package loads neither scipy nor rich.
"""

from typing import TYPE_CHECKING, Any

from broker.results.arrangement import arrange
from broker.results.document import to_page
from broker.results.export import to_csv, to_data, to_json, to_markdown
from broker.results.page import to_html
from broker.results.report import FIGURES, Report
from broker.results.table import build_table
from broker.results.values import Arrangement, Cell, Column, Comparison, Detectable, ResultRow, ResultsTable

if TYPE_CHECKING:
    from broker.results.render import as_text, render_table

__all__ = [
    "FIGURES",
    "Arrangement",
    "Cell",
    "Column",
    "Comparison",
    "Detectable",
    "Report",
    "ResultRow",
    "ResultsTable",
    "arrange",
    "as_text",
    "build_table",
    "render_table",
    "to_csv",
    "to_data",
    "to_html",
    "to_json",
    "to_markdown",
    "to_page",
]


def __getattr__(name: str) -> Any:
    """Import what draws in the terminal when it is asked for: only that needs rich."""
    if name in ("as_text", "render_table"):
        from broker.results import render

        return getattr(render, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
