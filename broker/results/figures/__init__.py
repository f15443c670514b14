"""Figures: made once from the table as pure values, drawn as SVG by hand or by matplotlib."""

from broker.results.figures.making import bars, forest, losses, main_metric, size_curves
from broker.results.figures.palette import DARK, LIGHT, Palette
from broker.results.figures.svg import to_svg
from broker.results.figures.values import Absent, Bars, Curves, Figure, Forest, LossCurve

__all__ = [
    "DARK",
    "LIGHT",
    "Absent",
    "Bars",
    "Curves",
    "Figure",
    "Forest",
    "LossCurve",
    "Palette",
    "bars",
    "forest",
    "losses",
    "main_metric",
    "size_curves",
    "to_svg",
]
