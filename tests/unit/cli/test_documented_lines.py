"""Every command line in README.md and docs/ names a command and options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from broker.cli.app import app

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVERYWHERE = {"--json", "--help", "-h"}


def lines_of(text: str) -> list[str]:
    """Return what stands after a `broker` in blocks of commands and between backticks."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    typed_in = [block.replace("\\\n", " ") for language, block in blocks if language in ("", "sh")]
    found = [line for block in typed_in for line in block.splitlines()]
    found += re.findall(r"`(broker [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    typed = [part for line in found for part in re.split(r"\s{4,}(?=broker )", re.sub(r"\s#.*$", "", line))]
    return [line.partition("broker ")[2] for line in typed if re.match(r"(\w+=\S+ )?broker [a-z-]", line)]


def unknown_words(line: str, command: Any) -> list[str]:
    """Return what a line names and the command line does not have."""
    words = shlex.split(re.sub(r"[\[\]]", "", line.split(" > ")[0].split(" | ")[0]))
    while words and (found := getattr(command, "commands", {}).get(words[0])) is not None:
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    strange = [word for word in words if re.match(r"--?[a-z]", word) and word.rstrip(",…") not in options | EVERYWHERE]
    in_a_group = hasattr(command, "commands") and words and re.match("[a-z]", words[0])
    return [words[0], *strange] if in_a_group else strange


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_lines_name_what_there_is(document: Path) -> None:
    command = typer.main.get_command(app)
    lines = lines_of(document.read_text(encoding="utf-8"))
    assert {line: strange for line in lines if (strange := unknown_words(line, command))} == {}


def test_many_lines_are_looked_at_and_a_wrong_one_is_seen() -> None:
    command = typer.main.get_command(app)
    assert sum(len(lines_of(document.read_text(encoding="utf-8"))) for document in DOCUMENTS) > 100
    for line, strange in {"data mix --reel x": ["--reel"], "synthesise": ["synthesise"], "jobs -q": ["-q"]}.items():
        assert unknown_words(line, command) == strange
