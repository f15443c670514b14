"""Numbers made of parts: their weights reach the table, comparisons and gates; the parts have a table of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from broker.evaluation import Kind
from broker.evaluation.metrics import RowMetric
from broker.evaluation.scoring import summarise
from broker.results import to_data
from broker.results.breakdown import breakdown_tables
from broker.results.gates import parse_gate
from broker.results.holding import hold
from broker.results.pairing import compare_rows
from broker.results.roster import make_roster

if TYPE_CHECKING:
    from broker.evaluation import MetricResult
    from tests.unit.results.lab import Lab

FOLLOWED = RowMetric(function=lambda _row: None, name="followed", label="followed", unit="%", kind=Kind.RATIO)
# Two rows of one part each, then one of eight.
PARTS = (1.0, 1.0, 8.0)


def measured(values: list[float | None], **breakdown: Any) -> MetricResult:
    parts = [0.0 if value is None else count for value, count in zip(values, PARTS, strict=True)]
    return replace(summarise(FOLLOWED, values, 3, parts), breakdown=breakdown)


@pytest.fixture
def judged(lab: Lab) -> Lab:
    """The base follows 1 of 1, 1 of 1 and 2 of 8; the tuned model nothing, nothing and 6 of 8."""
    base = measured([1.0, 1.0, 0.25], commas={"total": 3, "strict": 2, "loose": 3}, title={"total": 7, "strict": 2})
    tuned = measured([0.0, 0.0, 0.75], commas={"total": 2, "strict": 1, "loose": 1})
    lab.evaluate({"followed": base}, label="the base")
    lab.evaluate({"followed": tuned}, tuned=lab.tune(label="tuned"))
    return lab


def test_the_table_has_the_share_of_all_parts(judged: Lab) -> None:
    data = to_data(judged.table())
    base, tuned = (row["metrics"]["followed"] for row in data["rows"])
    assert (base["value"], tuned["value"]) == (40.0, 60.0)  # by rows the base would be ahead
    assert tuned["best"]
    assert base["breakdown"]["commas"] == {"total": 3, "strict": 2, "loose": 3}
    (comparison,) = data["comparisons"]
    assert (comparison["difference"], comparison["method"]) == (20.0, "paired permutation of rows")
    assert any("broker results --breakdown" in note for note in data["notes"])


def test_comparisons_and_gates_weigh_too(judged: Lab) -> None:
    roster = make_roster("tone", judged.jobs, judged.results)
    rows = roster.pick("tuned"), roster.pick("the base")
    (pair,) = compare_rows(roster, *rows, ["followed"])
    assert pair.test is not None
    assert pair.test.difference == pytest.approx(0.2)
    held = hold(parse_gate("followed >= base - 5pt"), roster, *rows)
    assert (held.value, held.reference, held.difference) == pytest.approx((0.6, 0.4, 0.2))
    assert held.passed
    relative = hold(parse_gate("followed >= base + 60%"), roster, *rows)
    assert relative.asked == pytest.approx(0.24)
    assert not relative.passed


def test_rows_that_one_has_no_value_for_weigh_nothing(lab: Lab) -> None:
    lab.evaluate({"followed": measured([1.0, 0.0, 0.25])}, label="the base")
    lab.evaluate({"followed": measured([1.0, 1.0, None])}, tuned=lab.tune(label="tuned"))
    roster = make_roster("tone", lab.jobs, lab.results)
    held = hold(parse_gate("followed >= base"), roster, roster.pick("tuned"), roster.pick("the base"))
    assert (held.n, held.value, held.reference) == (2, 1.0, 0.5)


def test_the_parts_are_shown_beside_each_other(judged: Lab) -> None:
    (table,) = breakdown_tables(judged.table())
    console = Console(width=100, record=True)
    with console.capture() as captured:
        console.print(table)
    lines = [line.split() for line in captured.get().splitlines() if line.strip()]
    assert "strict / loose" in captured.get()
    assert ["commas", "3", "2", "/", "3", "1", "/", "1", "of", "2"] in lines
    assert ["title", "7", "2", "/", "0", "–"] in lines


def test_numbers_without_parts_have_no_such_table(lab: Lab) -> None:
    lab.evaluate({"length": [1.0, 2.0]})
    assert breakdown_tables(lab.table()) == []
