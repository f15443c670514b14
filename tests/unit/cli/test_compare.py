"""`broker compare`: what a person reads, what CI reads, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal


@pytest.fixture
def judged(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal with a tuned model and its base, which never answer alike."""

    def make() -> None:
        metrics = ("--metric", "conversational", "--metric", "flesch", "--metric", "length")
        assert terminal.submit("--experiment", "tone", *metrics).code == 0

    terminal.once(kept, make)
    return terminal


def tuning(terminal: Terminal) -> str:
    return str(next(job["id"] for job in terminal.jobs() if job["kind"] == "tune"))


def test_two_models_on_the_same_prompts(judged: Terminal) -> None:
    told = judged.here("compare", tuning(judged), "fake-base", "--json")
    assert told.code == 0, told.err
    data = told.data
    assert (data["left"]["kind"], data["right"]["label"], data["passed"]) == ("tuned", "fake-base", None)
    found = {one["metric"]: one for one in data["metrics"]}
    assert found["conversational"]["difference"] == 100.0
    assert (found["conversational"]["only_left"], found["conversational"]["only_right"]) == (6, 0)
    assert found["conversational"]["p"] == pytest.approx(2 / 2**6)
    # Holm over the three metrics shown.
    assert [one["p_adjusted"] for one in data["metrics"]] == pytest.approx([3 / 32] * 3)
    assert found["conversational"]["effect_size"] == "large"
    assert len(data["conditions"]["validation_sha256"]) == 64
    (first, *_) = data["examples"]
    assert first["left"].startswith("Sure!")
    assert first["right"].startswith("The aforementioned")
    assert first["values"]["conversational"] == [1.0, 0.0]
    assert first["expected"]


def test_one_metric_is_a_family_of_one(judged: Terminal) -> None:
    data = judged.here("compare", tuning(judged), "--metric", "flesch", "--examples", "0", "--json").data
    assert [one["p_adjusted"] for one in data["metrics"]] == pytest.approx([1 / 32])
    assert data["metrics"][0]["verdict"] == "A better"
    assert data["examples"] == []


def test_what_a_person_reads(judged: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("40", "80", "160"):
        monkeypatch.setenv("COLUMNS", columns)
        told = judged.here("compare", "fake-base", tuning(judged), "--examples", "1")
        assert told.code == 0
        assert all(len(line) <= int(columns) for line in told.out.splitlines())
        for part in ("McNemar (exact)", "Holm over the 3 metrics", "prompt 1:", "\u2212100.0 points", "0.094", "tie"):
            assert part in " ".join(told.out.split()), part
    markdown = judged.here("compare", "fake-base", tuning(judged), "--markdown").out
    assert "| metric | A | B |" in markdown
    assert "- sha256 of the validation set: " in markdown


@pytest.mark.parametrize("columns", [40, 60, 72, 80, 90, 100, 130, 160])
def test_no_name_and_no_number_is_cut_at_any_width(
    judged: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = judged.here("compare", "fake-base", tuning(judged), "--examples", "0").out
    table = " ".join(told.partition("Brackets hold")[0].split())
    for part in ("conversational", "length", "Flesch", "100.0", "−100.0 points", "0.094", "large", "tie"):
        assert re.search(rf"(^|\W){part}(\W|$)", table), (part, told)
    assert table.count("[") == table.count("]") >= 6
    assert "…" not in table


def test_a_model_against_itself_is_said(judged: Terminal) -> None:
    told = judged.here("compare", "fake-base", "fake-base")
    assert told.code == 0
    assert "A and B are the same row" in told.out


def test_gates_decide_the_exit_code(judged: Terminal, tmp_path: Path) -> None:
    name = tuning(judged)
    good, bad = "conversational >= base - 2pt", 'length <= "fake-base" + 10%'
    assert judged.here("compare", name, "--gate", good).code == 0
    told = judged.here("compare", name, "--gate", good, "--gate", bad, "--junit", "gates.xml")
    assert told.code == 1
    words = " ".join(told.out.split())
    assert f"\u2713 passed: {good}: 100.0 against 0.0 % of fake-base" in words
    assert "\u2717 failed: length" in words
    cases = ElementTree.fromstring((tmp_path / "gates.xml").read_text(encoding="utf-8")).findall(".//testcase")
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"]]
    data = judged.here("compare", name, "--gate", good, "--strict", "--json").data
    assert (data["passed"], data["gates"][0]["strict"], data["gates"][0]["asked"]) == (True, True, -2.0)


def test_a_bad_gate_is_refused_with_its_place(judged: Terminal) -> None:
    told = judged.here("compare", tuning(judged), "--gate", "conversational => base", "--json")
    assert told.code == 2
    (problem,) = told.error["problems"]
    assert "position 16" in problem["where"]
    assert "conversational >= base" in problem["fix"]
    told = judged.here("compare", tuning(judged), "--gate", "conversation >= base", "--json")
    assert told.code == 2
    assert "did you mean conversational?" in told.error["problems"][0]["fix"]


def test_a_gate_on_what_is_not_computable_fails(judged: Terminal) -> None:
    judged.here(
        "eval",
        "--validation",
        "validation.jsonl",
        "--model",
        "fake:other",
        "--metric",
        "length",
        "--experiment",
        "tone",
    )
    told = judged.here("compare", "other", "--gate", "flesch >= -1000", "--junit", "gates.xml")
    assert told.code == 1
    assert "cannot be computed: other was not judged by flesch" in " ".join(told.out.split())
    assert "<error " in (judged.folder / "gates.xml").read_text(encoding="utf-8")


def test_other_questions_are_refused(judged: Terminal) -> None:
    judged.write("other.jsonl", "\n".join((judged.folder / "validation.jsonl").read_text().splitlines()[:3]) + "\n")
    judged.here("eval", "--validation", "other.jsonl", "--model", "fake:other", "--experiment", "else")
    told = judged.here("compare", tuning(judged), "other", "--json")
    assert told.code == 2
    assert "different validation sets" in told.error["message"]
    assert "broker eval" in told.error["fix"]


def test_other_decodings_are_refused(judged: Terminal) -> None:
    more = ("--experiment", "tone", "--max-tokens", "9")
    assert judged.here("eval", "--validation", "validation.jsonl", "--model", "fake:other", *more).code == 0
    told = judged.here("compare", tuning(judged), "other", "--json")
    assert told.code == 2
    assert "different decodings" in told.error["message"]
    assert "at most 9 tokens" in told.error["message"]


def test_the_same_questions_in_two_experiments_can_be_compared(judged: Terminal) -> None:
    judged.here("eval", "--validation", "validation.jsonl", "--model", "fake:other", "--experiment", "else")
    told = judged.here("compare", tuning(judged), "other", "--metric", "length", "--json")
    assert told.code == 0, told.err
    assert told.data["experiment"] == "tone and else"


def test_names_that_nobody_knows(judged: Terminal) -> None:
    told = judged.here("compare", "fake-bas", "--json")
    assert told.code == 2
    assert "fake-base" in told.error["message"]
    assert judged.here("compare", tuning(judged), "--experiment", "tne").code == 2
    assert (
        judged.here("compare", tuning(judged), "--metric", "flsch", "--json")
        .error["fix"]
        .startswith("did you mean flesch")
    )


def test_a_base_alone_has_nothing_to_be_compared_with(judged: Terminal) -> None:
    told = judged.here("compare", "fake-base", "--json")
    assert told.code == 2
    assert "has no base here" in told.error["message"]
    assert judged.here("compare", "fake-base", "--gate", "flesch <= 90").code == 0


def test_a_model_that_is_not_judged_yet(terminal: Terminal) -> None:
    assert terminal.submit(provider="failing").code == 1
    told = terminal.here("compare", tuning(terminal), "--json")
    assert told.code == 2
    assert "has no numbers yet: tuning failed" in told.error["message"]


def test_a_junit_file_needs_gates(judged: Terminal) -> None:
    assert judged.here("compare", tuning(judged), "--junit", "x.xml").code == 2
    assert judged.here("compare", tuning(judged), "--markdown", "--json").code == 2


def test_without_experiments(terminal: Terminal) -> None:
    assert "no experiments yet" in terminal.here("compare", "a", "b", "--json").error["message"]
