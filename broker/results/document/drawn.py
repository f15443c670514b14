"""Figures on the page: drawn twice, for wide and for narrow windows, with their numbers folded beneath."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.results.figures.svg import Drawn, to_svg
from broker.results.figures.words import numbers

if TYPE_CHECKING:
    from broker.results.figures.values import Absent

_WIDE, _NARROW = 960, 340


def drawing(figure: Drawn, name: str = "") -> str:
    """Return both drawings; the style sheet shows one.

    Args:
        figure: What to draw.
        name: For ids; the figure's own when empty.
    """
    known = _id(name or figure.name)
    wide, narrow = to_svg(figure, _WIDE, name=known), to_svg(figure, _NARROW, name=f"{known}-narrow")
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def numbers_table(figure: Drawn) -> str:
    """Return the numbers of a figure as a folded table."""
    heads, rows = numbers(figure)
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<details class="numbers"><summary>Numbers</summary><div class="scroll"><table class="plain"><thead><tr>{top}'
        f"</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def absent(figure: Absent) -> str:
    """Return why a figure is missing."""
    return f'<figure class="absent"><h3>{escape(figure.title)}</h3><p>Not drawn: {escape(figure.reason)}.</p></figure>'


def _id(name: str) -> str:
    return "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name)
