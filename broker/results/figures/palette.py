"""The colours of figures and pages, for light and dark, and as names for a page's style sheet to fill in."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours by what they are for.

    Attributes:
        surface: Behind everything.
        ink: Text.
        muted: Secondary text, axes.
        grid: Lines behind the data.
        base: Base models.
        accent: Tuned models.
        good: Better.
        bad: Worse.
        zone: Where nothing can be told apart.
        hues: Of lines; none of them is told by colour alone.
    """

    surface: str
    ink: str
    muted: str
    grid: str
    base: str
    accent: str
    good: str
    bad: str
    zone: str
    hues: tuple[str, ...]


LIGHT = Palette(
    surface="#ffffff",
    ink="#1b1f27",
    muted="#5a6472",
    grid="#e3e7ed",
    base="#98a3b3",
    accent="#2f6bd8",
    good="#12805c",
    bad="#c0392b",
    zone="#eef1f6",
    hues=("#2f6bd8", "#d56a0b", "#12805c", "#a8358a", "#7453e0", "#c0392b", "#5d7612", "#0b7f9c"),
)
DARK = Palette(
    surface="#14171d",
    ink="#e8ebf0",
    muted="#9aa5b5",
    grid="#2c323d",
    base="#6c7789",
    accent="#7aaeff",
    good="#4ccf9f",
    bad="#ff8c7a",
    zone="#20252f",
    hues=("#7aaeff", "#ffa350", "#4ccf9f", "#f084cd", "#b29dff", "#ff8c7a", "#b7d158", "#58cfea"),
)


def variables(palette: Palette) -> str:
    """Return a palette as declarations of CSS variables."""
    names = asdict(palette)
    hues = {f"hue{i}": colour for i, colour in enumerate(names.pop("hues"))}
    return ";".join(f"--{name}:{colour}" for name, colour in {**names, **hues}.items())


def _named() -> Palette:
    names = {name: f"var(--{name})" for name in asdict(LIGHT) if name != "hues"}
    return Palette(**names, hues=tuple(f"var(--hue{i})" for i in range(len(LIGHT.hues))))


# For a page, whose style sheet says what is light and what is dark.
PAGE = _named()
