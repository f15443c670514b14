"""IFEval from a file of prompts to the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.terminal import Terminal

NAMES = ("ifeval", "ifeval:prompt-loose", "ifeval:instruction-strict", "ifeval:instruction-loose")


def asked(*ids: str) -> dict[str, Any]:
    return {"instruction_id_list": list(ids), "kwargs": [{} for _ in ids]}


def test_a_file_of_prompts_becomes_a_table(terminal: Terminal) -> None:
    rows = [
        {"key": 1, "prompt": "Say something without commas.", **asked("punctuation:no_comma")},
        {
            "key": 2,
            "prompt": "Say something in quotation marks, without commas.",
            **asked("startend:quotation", "punctuation:no_comma", "detectable_format:title"),
        },
    ]
    terminal.write("ifeval.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    metrics = [part for name in (*NAMES, "exact-match") for part in ("--metric", name)]
    models = ("--model", "fake:one", "--model", "fake:two")
    told = terminal.here("eval", "--validation", "ifeval.jsonl", *metrics, *models, "--json")
    assert told.code == 0, told.err
    table = told.data["tables"][0]
    cells = table["rows"][0]["metrics"]
    # The fake provider's answer has no comma, no title and no quotation marks.
    assert [cells[name]["value"] for name in NAMES] == [50.0, 50.0, 50.0, 50.0]
    assert cells["ifeval"]["breakdown"]["punctuation:no_comma"] == {"total": 2, "strict": 2, "loose": 2}
    assert cells["exact-match"]["failure"] == "the validation rows have no expected answers"
    assert any("exact-match could not be computed" in warning for warning in table["warnings"])
    shown = terminal.here("results", "--breakdown")
    assert "startend:quotation" in shown.out
    assert "2 / 2" in shown.out
    assert "broker results --breakdown" in shown.out


def test_prompts_without_answers_do_not_train(terminal: Terminal) -> None:
    terminal.write("ifeval.jsonl", json.dumps({"prompt": "Say something.", **asked("punctuation:no_comma")}) + "\n")
    told = terminal.here("submit", "--provider", "fake", "--train", "ifeval.jsonl", "--no-evaluate")
    assert told.code == 2
    assert "not trained on" in told.err


def test_a_table_without_parts_says_so(terminal: Terminal) -> None:
    told = terminal.here("eval", "--validation", "validation.jsonl", "--metric", "length", "--model", "fake:one")
    assert told.code == 0, told.err
    assert "IFEval's have" in terminal.here("results", "--breakdown").err
