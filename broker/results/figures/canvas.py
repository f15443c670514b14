"""What SVG is written with: escaped elements, text that knows about how wide it is, and axes."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.results.figures.palette import Palette

SIZE = 12.0
LINE = 15.0
# To the left and right of a drawing that stands alone.
MARGIN = 16.0
# Of the text's size: the widths of DejaVu Sans, the widest of the usual fonts, since nothing here can measure one.
_NARROW, _WIDE, _USUAL, _FULL = 0.36, 0.93, 0.62, 1.0
_BOLD = 1.1
_NARROW_SIGNS = frozenset("iljtfrI.,:;|!'()[]/\\ ")
_WIDE_SIGNS = frozenset("mwMW%@★—−+<>=≥≤")
_DASHES = ("", "7 3", "2 3")
_SHAPES = ("M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.5,-3.5h7v7h-7z", "M0,-5l5,5l-5,5l-5,-5z", "M0,-4.6l4.8,8.2h-9.6z")


class Canvas:
    """Elements of one drawing, in the order in which they are painted."""

    def __init__(self, palette: Palette) -> None:
        """Begin empty.

        Args:
            palette: Its colours.
        """
        self.palette = palette
        self._parts: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = ""
    ) -> None:
        """Draw a line."""
        broken = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width:g}"{broken}/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *, title: str = "", corner: float = 0
    ) -> None:
        """Draw a filled rectangle; `title` is told when one points at it."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"'
            f' rx="{corner:g}">{_title(title)}</rect>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        colour: str = "",
        anchor: str = "start",
        size: float = SIZE,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """Write words with their baseline at y."""
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour or self.palette.ink}" font-size="{size:g}" '
            f'text-anchor="{anchor}"{weight}{turn}>{escape(words)}</text>'
        )

    def path(self, points: Sequence[tuple[float, float]], hue: int, *, faint: bool = False) -> None:
        """Draw a line through points."""
        drawn = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        broken = "3 3" if faint else self.dash(hue)
        dash = f' stroke-dasharray="{broken}"' if broken else ""
        self._parts.append(
            f'<path d="{drawn}" fill="none" stroke="{self.hue(hue)}" stroke-width="{1.2 if faint else 1.8:g}" '
            f'stroke-linejoin="round"{dash}/>'
        )

    def mark(self, x: float, y: float, colour: str, *, shape: int = 0, hollow: bool = False, title: str = "") -> None:
        """Draw a small sign around a point."""
        fill = self.palette.surface if hollow else colour
        self._parts.append(
            f'<path d="{_SHAPES[shape % len(_SHAPES)]}" transform="translate({x:.1f} {y:.1f})" fill="{fill}" '
            f'stroke="{colour}" stroke-width="1.5">{_title(title)}</path>'
        )

    def whisker(self, x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1.5) -> None:
        """Draw an interval with its two ends."""
        self.line(x1, y1, x2, y2, colour, width=width)
        for x, y in ((x1, y1), (x2, y2)):
            if y1 == y2:
                self.line(x, y - 4, x, y + 4, colour, width=width)
            else:
                self.line(x - 3, y, x + 3, y, colour, width=width)

    def hue(self, number: int) -> str:
        """Return the colour of a line."""
        return self.palette.hues[number % len(self.palette.hues)]

    def dash(self, number: int) -> str:
        """Return how a line is broken: colours come again with another dash."""
        return _DASHES[number // len(self.palette.hues) % len(_DASHES)]

    def svg(self, width: float, height: float, *, name: str, title: str, told: str, alone: bool) -> str:
        """Return the drawing.

        Args:
            width: In pixels.
            height: In pixels.
            name: For ids; unique on a page.
            title: What it shows.
            told: What somebody hears who does not see it.
            alone: A file of its own, rather than a part of a page.
        """
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        head += f' aria-labelledby="{escape(name)}-t {escape(name)}-d"'
        head += " font-family=\"system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\""
        # On a page it is as wide as what holds it.
        head += f' width="{width:g}" height="{height:g}">' if alone else ' style="width:100%">'
        back = f'<rect width="{width:g}" height="{height:g}" fill="{self.palette.surface}"/>' if alone else ""
        parts = f'<g transform="translate({MARGIN:g} 0)">{"".join(self._parts)}</g>' if alone else "".join(self._parts)
        words = f'<title id="{escape(name)}-t">{escape(title)}</title><desc id="{escape(name)}-d">{escape(told)}</desc>'
        return f"{head}{words}{back}{parts}</svg>"


def text_width(words: str, size: float = SIZE, *, bold: bool = False) -> float:
    """Return about how wide words are at most, in pixels."""
    return (
        (_BOLD if bold else 1.0)
        * size
        * sum(
            _NARROW
            if sign in _NARROW_SIGNS
            else _WIDE
            if sign in _WIDE_SIGNS
            else _FULL
            if ord(sign) > 0x2E80
            else _USUAL
            for sign in words
        )
    )


def cut(words: str, room: float, size: float = SIZE, *, bold: bool = False) -> str:
    """Return words that fit, with an ellipsis if need be: what tells names apart often stands at their end."""
    if text_width(words, size, bold=bold) <= room:
        return words
    head, tail = words[: len(words) * 3 // 5], words[len(words) * 3 // 5 :]
    while (head or tail) and text_width(f"{head}…{tail}", size, bold=bold) > room:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head.rstrip()}…{tail.lstrip()}"


def wrapped(words: str, room: float, lines: int, size: float = SIZE) -> list[str]:
    """Return words in up to so many lines, the last one shortened if need be."""
    found: list[str] = []
    rest = words.split(" ")
    while rest and len(found) < lines - 1:
        taken = 1
        while taken < len(rest) and text_width(" ".join(rest[: taken + 1]), size) <= room:
            taken += 1
        found.append(cut(" ".join(rest[:taken]), room, size))
        rest = rest[taken:]
    return [*found, cut(" ".join(rest), room, size)] if rest else found


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers that span low to high.

    Args:
        low: The least value.
        high: The greatest.
        about: How many.
    """
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / max(1, about - 1)
    unit = 10 ** floor(log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a tick as one reads it."""
    return f"{value:,.10g}".replace("-", "−")


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return what maps low..high to start..end."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
