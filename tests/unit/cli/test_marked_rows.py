"""Rows that say themselves what they are for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.terminal.person import EXAMPLES

if TYPE_CHECKING:
    from tests.fakes.terminal import Terminal


def row(number: int, **extra: Any) -> str:
    turns = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": f"Answer {number}."}]
    return json.dumps({"messages": turns, **extra})


@pytest.fixture
def marked(terminal: Terminal) -> Terminal:
    """A file of eight rows for training and two for validation."""
    rows = [row(number, split="validation" if number in (3, 7) else "train") for number in range(10)]
    terminal.write("marked.jsonl", "\n".join(rows))
    return terminal


def data_of(told: dict[str, Any]) -> tuple[int, int | None]:
    """Return how many rows train and how many judge."""
    specs = [job["spec"] for job in told["jobs"]]
    judged = {spec["validation"]["rows"] for spec in specs if "tune_job" in spec}
    return next(spec["train"]["rows"] for spec in specs if "train" in spec), judged.pop() if judged else None


def test_the_example_needs_no_validation_file(terminal: Terminal) -> None:
    done = terminal.submit("--train", str(EXAMPLES / "data" / "tone_of_voice.jsonl"), "--json")
    assert done.code == 0
    assert data_of(done.data) == (200, 40)
    (warning,) = done.data["warnings"]
    assert "40 of its 240 rows are marked as validation: they judge the models and never train" in warning
    assert [row["n"] for row in done.data["tables"][0]["rows"]] == [40, 40]


def test_the_warning_is_shown_to_people_too(marked: Terminal) -> None:
    done = marked.submit("--train", "marked.jsonl")
    assert done.code == 0
    assert "warning: --train marked.jsonl: 2 of its 10 rows are marked as validation" in done.err


@pytest.mark.parametrize(
    ("flags", "rows", "words"),
    [
        (["--validation", "validation.jsonl"], (8, 6), "are left out and never train"),
        (["--no-evaluate"], (8, None), "are left out and never train"),
        (["--split", "0.25"], (6, 2), "are left out and never train"),
        (["--validation", "marked.jsonl"], (8, 2), "judge the models and never train"),
    ],
    ids=["another file", "nothing", "a share", "the same file"],
)
def test_marked_rows_never_train(marked: Terminal, flags: list[str], rows: tuple[int, int | None], words: str) -> None:
    done = marked.submit("--train", "marked.jsonl", *flags, "--json")
    assert done.code == 0
    assert data_of(done.data) == rows
    assert words in done.data["warnings"][0]


@pytest.mark.parametrize("marks", [["train", "train", None], ["train"] * 3, ["train", "test", "validation"]])
def test_a_file_that_is_not_fully_marked_is_used_as_it_is(terminal: Terminal, marks: list[str | None]) -> None:
    rows = [row(number, **({"split": mark} if mark else {})) for number, mark in enumerate(marks)]
    terminal.write("partly.jsonl", "\n".join(rows))
    done = terminal.submit("--train", "partly.jsonl")
    assert done.code == 2
    assert "missing: --validation (or --split 0.1, or --no-evaluate)" in done.err
    assert '"split": "validation"' in done.err
    judged = terminal.submit("--train", "partly.jsonl", "--validation", "validation.jsonl", "--json")
    assert data_of(judged.data) == (3, 6)


def test_a_recipe_uses_marks_and_asks_for_none(marked: Terminal) -> None:
    marked.write("marked.toml", 'name = "m"\ntrain = "marked.jsonl"\n[[jobs]]\nprovider = "fake"\n')
    assert data_of(marked.here("run", "marked.toml", "--json").data) == (8, 2)
    marked.write("plain.toml", 'name = "p"\ntrain = "train.jsonl"\n[[jobs]]\nprovider = "fake"\n')
    assert data_of(marked.here("run", "plain.toml", "--json").data) == (20, None)
