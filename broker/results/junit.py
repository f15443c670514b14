"""Gates as a JUnit file, which every CI shows: one test case for each gate."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from broker.results.holding import GateResult
    from broker.results.pairing import PairReport

# XML 1.0 has no way to write these.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(report: PairReport, *, at: datetime | None = None) -> str:
    """Return the gates of a comparison as JUnit XML.

    A gate that does not hold is a failure, one that could not be computed an error.

    Args:
        report: With gates.
        at: The time to state; now when None.
    """
    failed = sum(not gate.passed and gate.computed for gate in report.gates)
    errors = sum(not gate.computed for gate in report.gates)
    counts = {"tests": str(len(report.gates)), "failures": str(failed), "errors": str(errors), "time": "0"}
    about = {
        "name": _text(f"{report.experiment}: {report.left.label}"),
        "package": "broker",
        "id": "0",
        "hostname": "localhost",
        "timestamp": (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S"),
    }
    root = ElementTree.Element("testsuites", {"name": "broker compare", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {**about, **counts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report).items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for gate in report.gates:
        _case(suite, gate)
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _properties(report: PairReport) -> dict[str, str]:
    found = {
        "experiment": report.experiment,
        "A": f"{report.left.label} ({report.left.key})",
        "validation": str(report.conditions.get("validation")),
        "validation_sha256": str(report.conditions.get("validation_sha256")),
    }
    return {**found, "B": f"{report.right.label} ({report.right.key})"} if report.right else found


def _case(suite: ElementTree.Element, gate: GateResult) -> None:
    mode = "strict" if gate.strict else "estimate"
    about = {"classname": f"broker.gates.{mode}", "name": _text(gate.gate.text), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", about)
    if not gate.passed:
        kind = "failure" if gate.computed else "error"
        what = ElementTree.SubElement(case, kind, {"type": "gate", "message": _text(gate.detail)})
        what.text = _text(gate.detail)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
