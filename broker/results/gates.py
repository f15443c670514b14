"""Gates: what a model must reach, in one line, for people and for CI.

```
conversational >= base - 2pt      at most two points under its own base
flesch >= best - 5                at most five under the best model of the table
similarity >= 0.6                 a number in the metric's own unit
length <= "my label" + 10%        at most a tenth longer than another row
```

A gate is `METRIC OPERATOR REFERENCE [+ or - NUMBER[UNIT]]`.

- operator: `>=`, `>`, `<=`, `<`;
- reference: `base` (the model's own base), `best` (of the table), `A`, `B`, a number, or another row in quotation marks
  (its label, its model, or the id of a job);
- unit: `pt` are points of a percentage, or of a score that has points; `%` after a difference is a part of the
  reference (`base - 2%` of 50 points is 49); a metric's own unit, such as `words`, may be written; nothing means the
  metric's own unit.

`%` after a number by itself belongs to percentages: `conversational >= 90%`. What could be read in two ways (`>= 0.9`
of a percentage) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING

from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

WHERE = "--gate"
FORM = "METRIC >= REFERENCE [- NUMBER[UNIT]], such as: conversational >= base - 2pt"
_OPERATOR = re.compile(r"[<>=!≤≥~]+")
_KNOWN = {">=": ">=", "≥": ">=", ">": ">", "<=": "<=", "≤": "<=", "<": "<"}
_NEAR = {"=>": ">=", "=<": "<=", "==": ">=", "=": ">=", ">>": ">", "<<": "<", ">==": ">=", "<==": "<="}
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+"
_REFERENCE = re.compile(
    rf"""(?P<quoted>"[^"]*"|'[^']*')|(?P<number>[-+\u2212]?(?:{_NUMBER}))(?:\s*(?P<unit>%|[A-Za-z]\w*))?|(?P<word>[A-Za-z_]+)"""
)
_OFFSET = re.compile(rf"(?P<sign>[-+\u2212])\s*(?P<amount>{_NUMBER})\s*(?P<unit>[^\s\d+-][^\s]*)?")
_POINTS = frozenset({"pt", "pts", "point", "points", "pp"})


class Against(StrEnum):
    """What a model is held against."""

    BASE = "base"
    BEST = "best"
    A = "A"
    B = "B"
    NUMBER = "number"
    ROW = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate, read but not yet held against anything.

    Attributes:
        text: As typed.
        metric: Name of the metric.
        operator: `>=`, `>`, `<=` or `<`.
        against: What kind of reference it has.
        name: The row, for `ROW`.
        number: The number, for `NUMBER`.
        unit: Of the number, as `offset_unit`, for `NUMBER`.
        offset: Added to the reference, with its sign.
        offset_unit: `pt`, `%`, a metric's own unit, or empty.
        place: Where the reference stands in the text, from 1.
        offset_place: Where the offset stands.
    """

    text: str
    metric: str
    operator: str
    against: Against
    name: str = ""
    number: float = 0.0
    unit: str = ""
    offset: float = 0.0
    offset_unit: str = ""
    place: int = 1
    offset_place: int = 1

    @property
    def upward(self) -> bool:
        """Say whether more is asked for rather than less."""
        return self.operator.startswith(">")

    def holds(self, surplus: float) -> bool:
        """Say whether a number above (or under) the threshold by so much passes; equal numbers may differ in digits."""
        side = surplus if self.upward else -surplus
        return side > _ROUNDING if len(self.operator) == 1 else side >= -_ROUNDING


# Sums of decimal fractions differ in the last digits.
_ROUNDING = 1e-9


def parse_gates(texts: Sequence[str]) -> list[Gate]:
    """Read gates.

    Args:
        texts: As typed.

    Raises:
        SpecError: Some cannot be read; all of them, each with the place and the fix.
    """
    problems: list[Problem] = []
    gates: list[Gate] = []
    for text in texts:
        try:
            gates.append(parse_gate(text))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems, summary=f"{len(problems)} gate(s) cannot be read")
    return gates


def parse_gate(text: str) -> Gate:
    """Read one gate.

    Args:
        text: As typed.

    Raises:
        SpecError: It cannot be read; the problem has the place.
    """
    operator = _OPERATOR.search(text)
    if operator is None:
        raise bad_gate(text, len(text.rstrip()) + 1, "there is no operator (>=, >, <=, <)", FORM)
    metric = text[: operator.start()].strip().strip("\"'")
    if not metric:
        raise bad_gate(text, 1, "there is no metric before the operator", FORM)
    sign = operator.group()
    if sign not in _KNOWN:
        near = _NEAR.get(sign, ">=")
        fix = text[: operator.start()] + near + text[operator.end() :]
        raise bad_gate(text, operator.start() + 1, f"{sign!r} is no operator", f"one of >=, >, <=, <: {fix}")
    return _with_reference(text, metric, _KNOWN[sign], _skip(text, operator.end()))


def _with_reference(text: str, metric: str, operator: str, start: int) -> Gate:
    found = _REFERENCE.match(text, start)
    if found is None:
        what = "there is no reference after the operator" if start == len(text) else f"{text[start:]!r} is no reference"
        raise bad_gate(
            text, start + 1, what, 'base, best, A, B, a number, or another row in quotation marks: "my label"'
        )
    against, name = _against(text, start, found)
    offset, unit, place = _offset(text, _skip(text, found.end()))
    return Gate(
        text=text.strip(),
        metric=metric,
        operator=operator,
        against=against,
        name=name,
        number=_float(found["number"], text, start) if found["number"] else 0.0,
        unit=_plain(found["unit"]),
        offset=offset,
        offset_unit=unit,
        place=start + 1,
        offset_place=place,
    )


def _against(text: str, start: int, found: re.Match[str]) -> tuple[Against, str]:
    if found["number"]:
        return Against.NUMBER, ""
    if found["quoted"]:
        if not found["quoted"][1:-1].strip():
            raise bad_gate(text, start + 1, "the quotation marks are empty", 'a row\'s label: "my label"')
        return Against.ROW, found["quoted"][1:-1]
    word = found["word"]
    known = {"base": Against.BASE, "best": Against.BEST, "a": Against.A, "b": Against.B}
    if word.lower() not in known:
        fix = f'base, best, A, B, a number, or, for a row of that name, quotation marks: "{word}"'
        raise bad_gate(text, start + 1, f"{word!r} is no reference", fix)
    return known[word.lower()], ""


def _offset(text: str, start: int) -> tuple[float, str, int]:
    """Return what is added to the reference, its unit, and its place."""
    if start == len(text):
        return 0.0, "", start + 1
    found = _OFFSET.match(text, start)
    if found is None:
        fix = "+ or - and a number, such as - 2pt; names of rows stand in quotation marks"
        raise bad_gate(text, start + 1, f"{text[start:]!r} cannot be read", fix)
    rest = _skip(text, found.end())
    if rest < len(text):
        fix = f"end the gate there: {text[: found.end()].strip()}"
        raise bad_gate(text, rest + 1, f"{text[rest:]!r} is one part too many", fix)
    amount = _float(found["amount"], text, found.start("amount")) * (1 if found["sign"] == "+" else -1)
    return amount, _plain(found["unit"]), start + 1


def _plain(unit: str | None) -> str:
    """Return a unit in one spelling."""
    return "pt" if unit and unit.lower() in _POINTS else unit or ""


def _skip(text: str, start: int) -> int:
    """Return where the white space ends."""
    return len(text) - len(text[start:].lstrip())


def _float(words: str, text: str, start: int) -> float:
    number = float(words.replace("\u2212", "-"))
    if not isfinite(number):
        raise bad_gate(text, start + 1, f"{words!r} is too large a number", FORM)
    return number


def bad_gate(text: str, place: int, what: str, fix: str) -> SpecError:
    """Return the error about a gate that cannot be read or held.

    Args:
        text: The gate.
        place: Position in it, from 1.
        what: What is wrong there.
        fix: What to write.
    """
    return SpecError([Problem(where=f"{WHERE} {text!r}, position {place}", what=what, fix=fix)])
