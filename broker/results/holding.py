"""Holds gates against the numbers of a roster.

What passing means. By default the estimate decides: the difference on the prompts that both models answered (for a
number: the model's own value) must keep to the threshold. With `strict` the 95 % interval decides: the whole interval
must keep to it, so `conversational >= base - 2pt` becomes a test of non-inferiority at a one-sided level of 2.5 %. What
cannot be computed never passes. Where the interval reaches to both sides of the threshold, other prompts might have
decided otherwise, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.errors import Problem, SpecError, UnknownNameError, UserError
from broker.evaluation.shares import compare_results, weighted_interval, weighted_mean
from broker.results import wording
from broker.results.gates import Against, Gate, bad_gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.record import MetricResult
    from broker.results.roster import Roster
    from broker.results.values import Column, ResultRow


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """How a gate was held. Numbers of proportions are shares, as everywhere.

    Attributes:
        gate: The gate.
        passed: Whether it holds; never when it could not be computed.
        strict: Whether the interval had to hold, rather than the estimate.
        computed: Whether there were numbers.
        detail: The numbers in one sentence, or why there are none.
        value: The model's own number.
        reference: The reference's.
        reference_label: What the reference is called.
        difference: Model minus reference on the same prompts; for a number, simply the difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        asked: What the difference had to keep to.
        n: Prompts that count.
        within_chance: The interval reaches to both sides of the threshold.
        scale: By what a number is multiplied to be in the metric's unit.
    """

    gate: Gate
    passed: bool
    strict: bool
    computed: bool = True
    detail: str = ""
    value: float | None = None
    reference: float | None = None
    reference_label: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    asked: float | None = None
    n: int = 0
    within_chance: bool = False
    scale: float = 1.0

    def shown(self, number: float | None) -> float | None:
        """Return a number in the metric's unit."""
        return None if number is None else round(number * self.scale, 10)


def hold(gate: Gate, roster: Roster, left: ResultRow, right: ResultRow | None, *, strict: bool = False) -> GateResult:
    """Hold a gate.

    Args:
        gate: The gate.
        roster: Everything that it may refer to.
        left: The model that must pass, `A`.
        right: `B`, if there is one.
        strict: The interval decides, not the estimate.

    Raises:
        SpecError: It refers to something that is not there, or has a unit that does not fit; with place and fix.
        UserError: It refers to a model that answered other questions.
    """
    column = _column(gate, roster)
    absolute, relative = _offset(gate, column)
    if gate.against is Against.NUMBER:
        number = _number(gate, column)
        asked = absolute + relative * abs(number)
        found = roster.scored(left, column)
        if found is None or found.value is None:
            return _not_computed(gate, roster.why_unscored(left, column), strict=strict)
        return _against_number(gate, column, found, number, asked, strict=strict)
    other = _reference(gate, roster, left, right, column)
    roster.require_alike(left, other)
    for row in (left, other):
        if roster.scored(row, column) is None:
            return _not_computed(gate, roster.why_unscored(row, column), strict=strict)
    if told := roster.unlike(left, other, column):
        return _not_computed(gate, told[0], strict=strict)
    return _against_row(gate, column, roster, (left, other), (absolute, relative), strict=strict)


def hold_all(
    gates: Sequence[Gate], roster: Roster, left: ResultRow, right: ResultRow | None, *, strict: bool = False
) -> list[GateResult]:
    """Hold gates; arguments as in `hold`.

    Raises:
        SpecError: Some refer to what is not there; all of them.
        UserError: One refers to a model that answered other questions.
    """
    problems: list[Problem] = []
    held: list[GateResult] = []
    for gate in gates:
        try:
            held.append(hold(gate, roster, left, right, strict=strict))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems, summary=f"{len(problems)} gate(s) cannot be held")
    return held


def _against_number(
    gate: Gate, column: Column, found: MetricResult, number: float, asked: float, *, strict: bool
) -> GateResult:
    value = found.value or 0.0
    low, high = (None if end is None else end - number for end in (found.low, found.high))
    result = GateResult(
        gate=gate,
        passed=False,
        strict=strict,
        value=value,
        reference=number,
        difference=value - number,
        low=low,
        high=high,
        asked=asked,
        n=found.scored,
        scale=column.scale,
    )
    ends = f" [{wording.number(column, found.low)}, {wording.number(column, found.high)}]" if low is not None else ""
    threshold = f"{wording.number(column, number + asked)}{_unit(column)}"
    said = f"{wording.number(column, value)}{ends}{_unit(column)}; {_word(gate)} {threshold} asked"
    return _decided(result, value - number - asked, (low, high), asked, said)


def _against_row(
    gate: Gate,
    column: Column,
    roster: Roster,
    rows: tuple[ResultRow, ResultRow],
    offset: tuple[float, float],
    *,
    strict: bool,
) -> GateResult:
    left, other = (roster.results[row.key].metrics[column.name] for row in rows)
    test = compare_results(left, other)
    if test.difference is None:
        return _not_computed(gate, f"no prompt has a value of both {rows[0].label} and {rows[1].label}", strict=strict)
    pairs = [(a, b) for a, b in zip(left.values, other.values, strict=True) if a is not None and b is not None]
    both = zip(left.parts, other.values, strict=True) if left.parts else ()
    weights = [weight for weight, b in both if weight and b is not None]
    mean = weighted_mean([b for _, b in pairs], weights)
    asked = offset[0] + offset[1] * abs(mean)
    ends = (test.low, test.high)
    if rows[0].key == rows[1].key:  # a model is itself, whatever was drawn
        ends = (0.0, 0.0)
    elif offset[1]:  # the threshold moves with the reference, so its chance counts too
        slope = offset[1] if mean >= 0 else -offset[1]
        surplus = weighted_interval([a - b - slope * b - offset[0] for a, b in pairs], weights)
        ends = (_plus(surplus.low, asked), _plus(surplus.high, asked))
    result = GateResult(
        gate=gate,
        passed=False,
        strict=strict,
        value=weighted_mean([a for a, _ in pairs], weights),
        reference=mean,
        reference_label=rows[1].label,
        difference=test.difference,
        low=ends[0],
        high=ends[1],
        asked=asked,
        n=test.n,
        scale=column.scale,
    )
    numbers = f"{wording.number(column, result.value)} against {wording.number(column, mean)}{_unit(column)} of"
    shown = f"{wording.signed(column, test.difference)} {wording.bounds(column, *ends)}".strip()
    said = (
        f"{numbers} {rows[1].label}: {shown} on {test.n:,} prompts; {_word(gate)} {wording.signed(column, asked)} asked"
    )
    return _decided(result, test.difference - asked, ends, asked, said)


def _plus(end: float | None, more: float) -> float | None:
    return None if end is None else end + more


def _decided(
    result: GateResult, surplus: float, ends: tuple[float | None, float | None], asked: float, said: str
) -> GateResult:
    """Say whether the estimate passes, or with `strict` the end of the interval that could fail."""
    gate = result.gate
    low, high = ends
    if low is not None and high is not None and low < asked < high:
        said += "; within chance: the interval reaches to both sides of that"
        result = replace(result, within_chance=True)
    if not result.strict:
        return replace(result, passed=gate.holds(surplus), detail=said)
    end = ends[0] if gate.upward else ends[1]
    if end is None:
        return replace(result, computed=False, detail=f"{said}; there is no interval, which --strict needs")
    which = "lower" if gate.upward else "upper"
    return replace(
        result, passed=gate.holds(end - asked), detail=f"{said}, which the {which} end of the interval decides"
    )


def _not_computed(gate: Gate, reason: str, *, strict: bool) -> GateResult:
    return GateResult(gate=gate, passed=False, strict=strict, computed=False, detail=f"cannot be computed: {reason}")


def _word(gate: Gate) -> str:
    return {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}[gate.operator]


def _unit(column: Column) -> str:
    return f" {column.unit}" if column.unit else ""


# --- what a gate refers to ------------------------------------------------------------------------------------------


def _column(gate: Gate, roster: Roster) -> Column:
    try:
        return roster.column(gate.metric)
    except UnknownNameError as error:
        raise bad_gate(gate.text, 1, error.message, error.fix) from error


def _reference(gate: Gate, roster: Roster, left: ResultRow, right: ResultRow | None, column: Column) -> ResultRow:
    if gate.against is Against.A:
        return left
    if gate.against is Against.ROW:
        try:
            return roster.pick(gate.name)
        except UserError as error:
            raise bad_gate(gate.text, gate.place, error.message, error.fix) from error
    found, what, fix = {
        Against.B: (right, "no B was given", "name it: broker compare A B --gate …"),
        Against.BASE: (
            roster.base_of(left),
            f"{left.label} has no base here" if left.kind == "tuned" else f"{left.label} is a base itself",
            "judge its base on the same set (broker eval --model BASE …), or name another row in quotation marks",
        ),
        Against.BEST: (
            roster.best(column, left),
            f"{column.name} has no best: no way is better, or nothing was computed",
            "base, A, B, a number, or another row in quotation marks",
        ),
    }[gate.against]
    if found is None:
        raise bad_gate(gate.text, gate.place, what, fix)
    return found


# --- units ----------------------------------------------------------------------------------------------------------


def _number(gate: Gate, column: Column) -> float:
    percent = column.unit == "%"
    if gate.unit not in {"", column.unit, *(("pt",) if column.decimals < 2 else ())}:
        fix = f"a number without a unit, or with {column.unit}" if column.unit else "a number without a unit"
        raise bad_gate(gate.text, gate.place, f"{gate.unit!r} is no unit of {column.name}", fix)
    if percent and not gate.unit and 0 < abs(gate.number) <= 1:
        fix = f"{gate.number * 100:g}% for the share, {gate.number:g}% for what stands there"
        raise bad_gate(gate.text, gate.place, f"{gate.number:g} could be a share or a percentage", fix)
    return gate.number / column.scale


def _offset(gate: Gate, column: Column) -> tuple[float, float]:
    """Return what is added to the reference: in the metric's unit, and as a part of the reference."""
    amount, unit, percent = gate.offset, gate.offset_unit, column.unit == "%"
    size = f"{abs(amount):g}"
    if unit == "%":
        return 0.0, amount / 100
    if unit == "pt" and column.decimals > 1:
        what = f"{column.name} has no points: all its values are under 2"
        raise bad_gate(gate.text, gate.offset_place, what, f"{size} without a unit, or {size}% of the reference")
    if not unit and percent and 0 < abs(amount) < 1:
        fix = f"{abs(amount) * 100:g}pt for the share, {size}pt for what stands there"
        raise bad_gate(gate.text, gate.offset_place, f"{size} could be a share or points", fix)
    if unit not in ("", "pt", column.unit):
        own = f", {column.unit}" if column.unit and not percent else ""
        fix = f"pt (points), % (of the reference){own}, or nothing for the metric's own unit"
        raise bad_gate(gate.text, gate.offset_place, f"{unit!r} is no unit of {column.name}", fix)
    return amount / column.scale, 0.0
