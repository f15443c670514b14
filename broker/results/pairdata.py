"""A comparison for programs.

```
{
  "format": 1, "experiment", "left": ROW, "right": ROW | null,
  "metrics": [{"metric", "label", "unit", "direction", "left": NUMBERS, "right": NUMBERS, "n", "difference", "low",
     "high", "p", "p_adjusted", "different", "effect", "effect_size", "spread", "only_left", "only_right", "method",
     "detectable", "verdict": "A better"|"B better"|"A higher"|"B higher"|"tie"|"not compared", "reason"}],
  "examples": [{"place", "prompt", "expected", "left", "right", "values": {METRIC: [A, B]}}],
  "gates": [{"gate", "passed", "strict", "computed", "detail", "value", "reference", "reference_label", "difference",
     "low", "high", "asked", "n", "within_chance"}],
  "passed": true | false | null, "conditions": {}, "warnings": []
}
```

Numbers are in the unit of their metric (percentages 0 to 100); `values` of examples are as the metric gave them, the
`spread` of a percentage is a share. `passed` is null without gates.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from broker.jobs.codec import dump

if TYPE_CHECKING:
    from broker.evaluation.record import MetricResult
    from broker.results.holding import GateResult
    from broker.results.pairing import MetricPair, PairReport
    from broker.results.values import Column, ResultRow

FORMAT = 1
_ROW = ("key", "label", "kind", "provider", "model", "precision", "policy", "tune_job", "n", "failed")
_GATE = ("passed", "strict", "computed", "detail", "reference_label", "n", "within_chance")
_GATE_NUMBERS = ("value", "reference", "difference", "low", "high", "asked")


def to_pair_data(report: PairReport) -> dict[str, Any]:
    """Return the report as plain data, in the form described above."""
    return {
        "format": FORMAT,
        "experiment": report.experiment,
        "left": _row(report.left),
        "right": _row(report.right) if report.right is not None else None,
        "metrics": [_metric(pair) for pair in report.metrics],
        "examples": [dump(example) for example in report.examples],
        "gates": [_gate(gate) for gate in report.gates],
        "passed": report.passed if report.gates else None,
        "conditions": dump(dict(report.conditions)),
        "warnings": list(report.warnings),
    }


def _row(row: ResultRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _ROW}


def _metric(pair: MetricPair) -> dict[str, Any]:
    column, test = pair.column, pair.test
    numbers: dict[str, Any] = {} if test is None else asdict(test)
    differences = [name for name in ("difference", "low", "high") if name in numbers]
    scaled: dict[str, Any] = {name: _scaled(column, numbers[name]) for name in differences}
    return {
        "metric": column.name,
        "label": column.label,
        "unit": column.unit,
        "direction": str(column.direction),
        "left": _numbers(column, pair.left),
        "right": _numbers(column, pair.right),
        **numbers,
        **scaled,
        "p_adjusted": pair.p_adjusted if test is not None else None,
        "different": pair.different,
        "effect_size": pair.effect_size,
        "detectable": _scaled(column, pair.detectable),
        "verdict": pair.verdict,
        "reason": pair.reason,
    }


def _numbers(column: Column, found: MetricResult | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = {name: _scaled(column, getattr(found, name)) for name in ("value", "low", "high")}
    return {**ends, "scored": found.scored, "unscored": found.unscored}


def _gate(gate: GateResult) -> dict[str, Any]:
    plain = {name: getattr(gate, name) for name in _GATE}
    return {"gate": gate.gate.text, **plain, **{name: gate.shown(getattr(gate, name)) for name in _GATE_NUMBERS}}


def _scaled(column: Column, value: float | None) -> float | None:
    return None if value is None else round(value * column.scale, 10)
