"""What is wrong with a synthesis is told before anything is sent, all at once, with what to type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.synthesis import Pipeline, each
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from broker.synthesis import Bench, Row


@each
async def echo(row: Row, _bench: Bench) -> Row:
    """Answer with the question."""
    return row.having(question=row["prompt"], answer=row["prompt"])


echoed = Pipeline(name="echoed", steps=lambda _options: [echo])


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(tmp_path, capsys)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made.write("sections.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in ("short", "x" * 800)))
    return made


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--source", "sections.jsonl", "--output", "made", "--set", "min_fles=3"), "did you mean min_flesch?"),
        (("--output", "made"), "needs source texts"),
        (("--source", "sections.jsonl", "--output", "made", "--encoder", "sandbox-encodr"), "mean sandbox-encoder?"),
        (("--source", "sections.jsonl"), "--output DIR"),
        (("--source", "sections.jsonl", "--output", "made", "--rows", "3"), "passes=3"),
        (("--pipeline", "persona", "--set", "domain=debt", "--output", "made", "--rows", "401"), "can make 400 rows"),
    ],
)
def test_a_plan_says_what_is_wrong(terminal: Terminal, words: tuple[str, ...], says: str) -> None:
    told = terminal.here(
        "submit", "--provider", "local", "--model", "sandbox-writer", "--synthesize", "--dry-run", *words
    )
    assert told.code == 2
    assert says in " ".join(told.err.split())


def test_of_very_few_rows_none_is_held_out_and_no_empty_file_is_proposed(terminal: Terminal, tmp_path: Path) -> None:
    for rows, proposed in ((1, False), (6, True)):
        sections = "".join(json.dumps({"prompt": f"Tell me of {n}."}) + "\n" for n in range(rows))
        terminal.write("prompts.jsonl", sections)
        words = ("--pipeline", f"{__name__}:echoed", "--source", "prompts.jsonl", "--rows", str(rows))
        told = terminal.here(
            "submit", "--provider", "local", "--model", "sandbox-writer", "--output", f"made{rows}", *words
        )
        assert told.code == 0, told.err
        assert (tmp_path / f"made{rows}" / "train.jsonl").stat().st_size
        assert bool((tmp_path / f"made{rows}" / "validation.jsonl").stat().st_size) is proposed
        assert ("--validation" in told.err) is proposed
        assert ("--no-evaluate" in told.err) is not proposed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my_riddles:pipeline", "FOLDER being where my_riddles.py is"),
        (f"{__name__}:echo_", f"the module '{__name__}' has no 'echo_'"),
        ("riddles", "known: qa, preference, persona"),
    ],
)
def test_a_pipeline_of_ones_own_that_is_not_found_is_told_by_what_is_missing(
    terminal: Terminal, name: str, says: str
) -> None:
    words = ("--provider", "local", "--model", "sandbox-writer", "--source", "sections.jsonl", "--output", "made")
    told = terminal.here("submit", *words, "--pipeline", name)
    assert told.code == 2
    assert says in " ".join(told.err.split())
