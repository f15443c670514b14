"""What a figure shows: frozen values in the units shown, made once and drawn as SVG or by matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One model.

    Attributes:
        label: The model.
        value: The estimate.
        low: Lower end of its 95 % interval; None when there is none.
        high: Upper end.
        marks: Star, sign of a tie, letters.
        base: It is a base model.
        best: It has the best estimate.
        group: Head of its group; empty without groups.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    marks: str = ""
    base: bool = False
    best: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One bar for each model (Fig. 2 of arXiv:2507.04889).

    Attributes:
        name: Of the figure, for files and links.
        title: What it shows.
        note: What the marks mean.
        axis: What the numbers are.
        decimals: Places after the point.
        percent: The axis goes from 0 to 100.
        bars: In the order of the table.
    """

    name: str
    title: str
    note: str
    axis: str
    decimals: int
    percent: bool
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One point of a line, with its 95 % interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points of one setting.

    Attributes:
        label: The setting.
        hue: Number of its colour: the same setting has the same colour in every panel and figure.
        dots: From left to right.
        faint: Drawn thin and broken (validation beside training).
    """

    label: str
    hue: int
    dots: tuple[Dot, ...]
    faint: bool = False

    @property
    def course(self) -> list[tuple[float, float]]:
        """Return where the line runs: through the mean of dots that stand above each other (repeated runs)."""
        found: dict[float, list[float]] = {}
        for dot in self.dots:
            found.setdefault(dot.x, []).append(dot.y)
        return [(x, fmean(ys)) for x, ys in found.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes of a grid.

    Attributes:
        title: What is the same for all its lines; empty when there is one panel.
        row: Its row in the grid, from 0.
        column: Its column.
        lines: What is drawn.
    """

    title: str
    row: int
    column: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Lines in one or several panels (Fig. 3 and 4 of arXiv:2507.04889, and losses).

    Attributes:
        name: Of the figure.
        title: What it shows.
        note: What the marks mean.
        x_axis: What runs to the right.
        y_axis: What runs upwards.
        decimals: Places after the point of y.
        percent: y goes from 0 to 100.
        sizes: Training-set sizes, ascending; x is then drawn as log(1 + x / smallest), so that 0 has a place. Empty
            for a linear axis.
        panels: Row by row.
    """

    name: str
    title: str
    note: str
    x_axis: str
    y_axis: str
    decimals: int
    percent: bool
    panels: tuple[Panel, ...]
    sizes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """The difference between two models on the same prompts.

    Attributes:
        label: The model.
        against: The other one.
        group: Head under which it stands.
        shared: The head names the other one already.
        difference: First minus second.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Adjusted after Holm.
        verdict: `better`, `worse`, `tie`, or `different` where no way is better.
    """

    label: str
    against: str
    group: str
    shared: bool
    difference: float
    low: float
    high: float
    p: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Paired differences with their intervals.

    Attributes:
        name: Of the figure.
        title: What it shows.
        note: What the marks mean.
        axis: What the numbers are.
        decimals: Places after the point.
        better: Which side is better: `right`, `left` or empty.
        zone: Half the width of the zone in which differences cannot be seen; None when unknown.
        contrasts: By group.
    """

    name: str
    title: str
    note: str
    axis: str
    decimals: int
    better: str
    zone: float | None
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A figure that cannot be drawn, and why."""

    name: str
    title: str
    reason: str


Figure = Bars | Curves | Forest | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """How the loss of one tuning job went.

    Attributes:
        row: Key of the model's row in the table.
        training: (step, loss), ascending.
        validation: (step, loss) on rows that were held out; often none.
    """

    row: str
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...] = ()
