"""What is wrong with a synthesis is told before anything is sent, all at once, with what to type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path


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
