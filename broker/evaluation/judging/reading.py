"""What a judge replied: JSON, or as near to it as models come. Pure."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from broker.evaluation.judging.values import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.jobs.spec import Rubric

_DECODER = json.JSONDecoder()
_NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(?:/\s*(\d+(?:\.\d+)?)\s*)?(?:points?)?\.?\s*", re.IGNORECASE)
_WINNER = re.compile(r"\W*(?:answer\s+)?(A|B|tie|neither|both|equal|draw)\W*", re.IGNORECASE)
FIRST, SECOND, TIE = "A", "B", "tie"
_EVEN = frozenset({"tie", "neither", "both", "equal", "draw"})


def read_score(text: str, rubric: Rubric) -> tuple[float, str]:
    """Return the score and the reason that a reply gives.

    The last JSON object with the rubric's name is looked for (anywhere in the text, in any case of letters), then the
    last line `NAME: 7` or `NAME: 7/10`, then a text that is a number alone.

    Raises:
        UnreadableError: There is no number, or it is outside the scale. Never a stand-in number.
    """
    found = _last(text, rubric.name)
    if found is not None:
        return _on_scale(_get(found, rubric.name), rubric), str(_get(found, "reason") or "")
    named = re.findall(
        rf"^\W*{re.escape(rubric.name)}\W*?[:=]\W*?(-?\d[\d./ ]*)\W*$", text, re.IGNORECASE | re.MULTILINE
    )
    if named or _NUMBER.fullmatch(text):
        return _on_scale(named[-1] if named else text, rubric), ""
    raise UnreadableError(f"no score for {rubric.name} in {shortened(text)}")


def read_winner(text: str) -> tuple[str, str]:
    """Return which answer was found better, `A`, `B` or `tie`, and why.

    Raises:
        UnreadableError: The reply names none.
    """
    found = _last(text, "winner")
    if found is not None:
        return _winner(str(_get(found, "winner"))), str(_get(found, "reason") or "")
    return _winner(text), ""


def shortened(text: str) -> str:
    """Return a text for a message: quoted, on one line, not too long."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:79] + "…")


def _winner(text: str) -> str:
    found = _WINNER.fullmatch(text)
    if found is None:
        raise UnreadableError(f"no winner in {shortened(text)}")
    named = found.group(1)
    return TIE if named.lower() in _EVEN else named.upper()


def _on_scale(value: Any, rubric: Rubric) -> float:
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        if found.group(2) is not None and float(found.group(2)) != rubric.high:
            raise UnreadableError(f"{value.strip()} is not on the scale {rubric.low:g} to {rubric.high:g}")
        value = float(found.group(1))
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UnreadableError(f"{rubric.name} is {shortened(str(value))}, which is no number")
    if not rubric.low <= value <= rubric.high:
        raise UnreadableError(f"{value:g} is outside the scale {rubric.low:g} to {rubric.high:g}")
    return float(value)


def _last(text: str, name: str) -> dict[str, Any] | None:
    """Return the last object with a name: a judge that thinks aloud ends with what it means."""
    return next((found for found in reversed(list(_objects(text))) if _get(found, name) is not None), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield every JSON object that begins somewhere in the text, outermost first."""
    at = text.find("{")
    while at >= 0:
        try:
            found, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield cast("dict[str, Any]", found)
        at = text.find("{", end)


def _get(found: dict[str, Any], name: str) -> Any:
    lowered = {key.strip().casefold(): value for key, value in found.items()}
    return lowered.get(name.casefold())
