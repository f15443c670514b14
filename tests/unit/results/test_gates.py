"""The language of gates, and what passing means."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from broker.errors import SpecError, UserError
from broker.evaluation import Direction, Kind, MetricResult
from broker.jobs.records import Failure
from broker.jobs.states import State
from broker.results.gates import Against, parse_gate, parse_gates
from broker.results.holding import GateResult, hold, hold_all
from broker.results.junit import to_junit
from broker.results.pairing import PairReport
from broker.results.roster import Roster, make_roster
from tests.unit.results.lab import Lab, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.results.values import ResultRow

FLESCH = [50.0 + i % 7 for i in range(40)]


@pytest.fixture
def judged(lab: Lab) -> Lab:
    """A base with 20 of 40, a tuned model with 19 of 40 (17 of the base's and two of its own), and a good one."""
    lab.evaluate({"conversational": share(20), "flesch": FLESCH, "length": FLESCH}, label="the base")
    own: list[float | None] = [*share(17, 20), 1.0, 1.0, *share(0, 18)]
    lower: list[float | None] = [value - 1 for value in FLESCH]
    lab.evaluate({"conversational": own, "flesch": lower, "length": FLESCH}, tuned=lab.tune(label="tuned"))
    lab.evaluate({"conversational": share(38), "flesch": FLESCH, "length": FLESCH}, tuned=lab.tune(label="good"))
    return lab


def roster_of(lab: Lab) -> Roster:
    return make_roster("tone", lab.jobs, lab.results)


def held(lab: Lab, text: str, *, left: str = "tuned", right: str | None = None, strict: bool = False) -> GateResult:
    roster = roster_of(lab)
    b: ResultRow | None = roster.pick(right) if right is not None else None
    return hold(parse_gate(text), roster, roster.pick(left), b, strict=strict)


@pytest.mark.parametrize(
    ("text", "metric", "operator", "against", "offset", "unit"),
    [
        ("conversational >= base - 2pt", "conversational", ">=", Against.BASE, -2.0, "pt"),
        ("conversational>=base-2pt", "conversational", ">=", Against.BASE, -2.0, "pt"),
        ("conversational \u2265 BEST \u2212 2 points", "conversational", ">=", Against.BEST, -2.0, "pt"),
        ("flesch > A", "flesch", ">", Against.A, 0.0, ""),
        ("length <= b + 10 words", "length", "<=", Against.B, 10.0, "words"),
        ("length<B+10%", "length", "<", Against.B, 10.0, "%"),
        ('exact-match >= "my label >= 3" - 0.5pt', "exact-match", ">=", Against.ROW, -0.5, "pt"),
        ("conversational:70 >= 90%", "conversational:70", ">=", Against.NUMBER, 0.0, ""),
        ("similarity >= .62", "similarity", ">=", Against.NUMBER, 0.0, ""),
        ("x >= -5 + 1e-3", "x", ">=", Against.NUMBER, 0.001, ""),
    ],
)
def test_what_can_be_written(text: str, metric: str, operator: str, against: Against, offset: float, unit: str) -> None:
    gate = parse_gate(text)
    assert (gate.metric, gate.operator, gate.against) == (metric, operator, against)
    assert (gate.offset, gate.offset_unit) == (offset, unit)


def test_numbers_and_names() -> None:
    assert parse_gate("conversational >= 90%").number == 90
    assert parse_gate("conversational >= 90%").unit == "%"
    assert parse_gate("x <= -5").number == -5
    assert parse_gate("x <= \u22125").number == -5
    assert parse_gate("x >= 'it is \"mine\"'").name == 'it is "mine"'


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("conversational", 15, "no operator"),
        ("", 1, "no operator"),
        (" >= base", 1, "no metric"),
        ("conversational => base", 16, "'=>' is no operator"),
        ("conversational == base", 16, "'==' is no operator"),
        ("conversational >=", 18, "no reference"),
        ("conversational >= bse", 19, "'bse' is no reference"),
        ("conversational >= sandbox tuned", 19, "'sandbox' is no reference"),
        ('conversational >= ""', 19, "quotation marks are empty"),
        ("conversational >= base 2pt", 24, "'2pt' cannot be read"),
        ("conversational >= base - ", 24, "'- ' cannot be read"),
        ("conversational >= base - 2pt - 1pt", 30, "'- 1pt' is one part too many"),
        ("conversational >= base - two", 24, "'- two' cannot be read"),
    ],
)
def test_what_cannot_be_read_has_its_place_and_a_fix(text: str, place: int, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_gate(text)
    (problem,) = caught.value.problems
    assert f"position {place}" in problem.where
    assert what in problem.what
    assert problem.fix


def test_all_bad_gates_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse_gates(["a >= base", "b = base", "c"])
    assert len(caught.value.problems) == 2
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        # 19 of 40 are 47.5 %, the base has 50 %: 2.5 points less.
        ("conversational >= base", False),
        ("conversational >= base - 2pt", False),
        ("conversational >= base - 2", False),
        ("conversational >= base - 2.5pt", True),
        ("conversational > base - 2.5pt", False),
        # 5 % of 50 are 2.5 points.
        ("conversational >= base - 5%", True),
        ("conversational >= base - 4.9%", False),
        ("conversational >= 47.5", True),
        ("conversational >= 47.5%", True),
        ("conversational > 47.5%", False),
        ("conversational >= 50% - 2.5pt", True),
        ("conversational <= base", True),
        ("conversational >= best - 47.5pt", True),
        ("conversational >= best - 47pt", False),
        ('conversational >= "good"', False),
        ("conversational >= A", True),
        ("flesch >= base - 1", True),
        ("flesch >= base - 1pt", True),
        ("flesch >= base - 0.5", False),
        ("length <= base + 0 words", True),
        ("length <= 53 words", True),
    ],
)
def test_the_estimate_decides(judged: Lab, text: str, passed: bool) -> None:
    found = held(judged, text)
    assert found.computed
    assert found.passed is passed, found.detail


@pytest.mark.parametrize(
    ("text", "passed", "chance"),
    [
        ("conversational >= base", False, True),  # 19 of 40 against 20 of 40
        ("conversational >= base - 5pt", True, True),
        ("conversational >= base - 40pt", True, False),
        ("conversational >= 90%", False, False),
        ("conversational >= 50%", False, True),
        ("flesch >= base", False, False),  # each answer is one point lower
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_other_prompts_might_have_decided_otherwise_is_said(
    judged: Lab, text: str, passed: bool, chance: bool, strict: bool
) -> None:
    found = held(judged, text, strict=strict)
    assert found.passed == (passed and not (strict and chance))
    assert found.within_chance == chance
    assert ("within chance" in found.detail) == chance


@pytest.mark.parametrize("text", ["flesch >= 1e400", "flesch >= base - 1e999"])
def test_a_number_without_an_end_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="too large a number"):
        parse_gate(text)


def test_b_is_the_second_model(judged: Lab) -> None:
    assert held(judged, "conversational >= B", left="good", right="tuned").passed
    assert not held(judged, "conversational >= B", left="tuned", right="good").passed


def test_strict_wants_the_whole_interval(judged: Lab) -> None:
    loose = held(judged, "conversational >= base - 5pt")
    strict = held(judged, "conversational >= base - 5pt", strict=True)
    assert loose.passed
    assert not strict.passed
    # 3 lost and 2 won of 40: Tango's interval.
    assert strict.difference == pytest.approx(-0.025)
    assert strict.low == pytest.approx(-0.1597, abs=1e-3)
    assert held(judged, "conversational >= base - 16pt", strict=True).passed
    assert not held(judged, "conversational <= base + 1pt", strict=True).passed
    # 38 of 40 are 95 %, Wilson: 83.5 to 98.6.
    assert held(judged, "conversational >= 83%", left="good", strict=True).passed
    assert not held(judged, "conversational >= 84%", left="good", strict=True).passed


def test_equal_answers_do_not_prove_equality_to_strict(judged: Lab) -> None:
    same = judged.evaluate({"conversational": share(38)}, tuned=judged.tune(label="copy"))
    # Two models that never differ in 40 prompts may differ in up to 8.8 points of the others.
    assert not held(judged, 'conversational >= "good" - 8pt', left=same.id, strict=True).passed
    assert held(judged, 'conversational >= "good" - 9pt', left=same.id, strict=True).passed
    # But a model is itself.
    assert held(judged, "conversational >= best", left="good", strict=True).passed


def test_a_relative_threshold_moves_with_the_reference(judged: Lab) -> None:
    found = held(judged, "flesch >= base - 3%", strict=True)
    assert found.passed
    assert found.asked == pytest.approx(-0.03 * sum(FLESCH) / 40)
    assert not held(judged, "flesch >= base - 1%", strict=True).passed


def test_only_prompts_with_both_answers_count(judged: Lab) -> None:
    values: list[float | None] = [*share(20, 20), *([None] * 20)]
    judged.evaluate({"conversational": values}, tuned=judged.tune(label="half"), failed=20)
    found = held(judged, "conversational >= base", left="half")
    assert (found.n, found.value, found.reference, found.passed) == (20, 1.0, 1.0, True)


def broken() -> MetricResult:
    return MetricResult(
        name="flesch",
        label="Flesch",
        unit="",
        direction=Direction.HIGHER,
        kind=Kind.MEAN,
        version="textstat 0.7.8",
        failure="no scorer",
    )


@pytest.mark.parametrize("operator", [">=", "<=", ">", "<"])
@pytest.mark.parametrize("strict", [True, False])
def test_what_cannot_be_computed_never_passes(judged: Lab, operator: str, strict: bool) -> None:
    judged.evaluate({"flesch": broken(), "conversational": share(9)}, tuned=judged.tune(label="broken"))
    failure = Failure(code="x", message="no such model")
    judged.evaluate(tuned=judged.tune(label="dead"), state=State.FAILED, failure=failure)
    for left, reference in (
        ("broken", "base"),
        ("dead", "base"),
        ("tuned", '"broken"'),
        ("broken", "-99"),
        ("dead", "0"),
    ):
        found = held(judged, f"flesch {operator} {reference}", left=left, strict=strict)
        assert not found.passed
        assert not found.computed
        assert "cannot be computed" in found.detail
    assert "no scorer" in held(judged, "flesch >= base", left="broken").detail
    assert "evaluation failed" in held(judged, "flesch >= base", left="dead").detail


def test_nothing_in_common_is_not_equal(judged: Lab) -> None:
    halves: list[list[float | None]] = [[*share(10, 20), *([None] * 20)], [*([None] * 20), *share(10, 20)]]
    for label, values in zip(("first", "second"), halves, strict=True):
        judged.evaluate({"conversational": values}, tuned=judged.tune(label=label), failed=20)
    found = held(judged, 'conversational >= "second" - 50pt', left="first")
    assert not found.passed
    assert "no prompt has a value of both" in found.detail


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("conversationl >= base", 1, "judged by 'conversationl'"),
        ("conversational >= B", 19, "no B was given"),
        ('conversational >= "nobody"', 19, "'nobody'"),
        ("length >= best", 11, "no best"),
        ("conversational >= 0.9", 19, "a share or a percentage"),
        ("conversational >= base - 0.02", 24, "a share or points"),
        ("flesch >= 60%", 11, "'%' is no unit of flesch"),
        ("conversational >= base - 3 words", 24, "'words' is no unit"),
    ],
)
def test_what_does_not_fit_has_its_place_and_a_fix(judged: Lab, text: str, place: int, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        held(judged, text)
    (problem,) = caught.value.problems
    assert f"position {place}" in problem.where
    assert what in problem.what
    assert problem.fix


def test_points_are_refused_where_values_are_small(lab: Lab) -> None:
    lab.evaluate({"flesch": [0.5 + i / 100 for i in range(40)]}, label="base")
    lab.evaluate({"flesch": [0.1 + i / 100 for i in range(40)]}, tuned=lab.tune(label="tuned"))
    # Two points of a cosine would let everything pass.
    with pytest.raises(SpecError, match="has no points"):
        held(lab, "flesch >= base - 2pt")
    assert not held(lab, "flesch >= base - 0.02").passed


def test_a_base_has_no_base(judged: Lab) -> None:
    with pytest.raises(SpecError, match="is a base itself"):
        held(judged, "conversational >= base", left="the base")


def test_all_gates_that_do_not_fit_are_told_at_once(judged: Lab) -> None:
    roster = roster_of(judged)
    gates = parse_gates(["conversational >= B", "flesch >= 60%", "flesch >= 1"])
    with pytest.raises(SpecError) as caught:
        hold_all(gates, roster, roster.pick("tuned"), None)
    assert len(caught.value.problems) == 2


def test_another_validation_set_is_refused(judged: Lab) -> None:
    judged.evaluate({"conversational": share(40)}, tuned=judged.tune(label="elsewhere"), validation="ff" * 32)
    with pytest.raises(UserError, match=r"different validation sets: tuned on val\.jsonl"):
        held(judged, 'conversational >= "elsewhere"')
    # The best is one of those that answered the same questions.
    assert held(judged, "conversational >= best").reference_label == "good"


def report_of(lab: Lab, texts: Sequence[str], *, left: str = "tuned") -> PairReport:
    roster = roster_of(lab)
    row = roster.pick(left)
    gates = tuple(hold_all(parse_gates(texts), roster, row, None))
    return PairReport(experiment="tone", left=row, right=None, gates=gates)


def test_a_junit_file_for_ci(judged: Lab) -> None:
    judged.evaluate({"flesch": broken()}, tuned=judged.tune(label='a "bad" <one>\x07'))
    texts = ["conversational >= base - 3pt", "conversational >= base", 'flesch >= "a "']
    texts[2] = f'flesch >= "{judged.jobs[-1].id}"'
    root = ElementTree.fromstring(to_junit(report_of(judged, texts)))
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    wanted = {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "time"}
    assert suite.attrib.keys() == wanted
    assert [suite.attrib[name] for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 3, "system-out", "system-err"]
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == texts
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["error"]]
    failure = cases[1][0]
    assert failure.attrib["type"] == "gate"
    assert "47.5 against 50.0 % of the base" in failure.attrib["message"]
    assert "\u22122.5 points" in failure.attrib["message"]


def test_a_label_that_no_xml_can_hold(judged: Lab) -> None:
    judged.evaluate({"conversational": share(3)}, tuned=judged.tune(label="\x00\x0b<&>"))
    text = to_junit(report_of(judged, ["conversational >= base"], left=judged.jobs[-1].id))
    assert "\ufffd\ufffd&lt;&amp;&gt;" in text
    ElementTree.fromstring(text)
