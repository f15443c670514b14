"""`broker data`, and mixes in recipes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal

RECIPE = """
name = "ratios"
validation = "validation.jsonl"

[[mixes]]
name = "more-real"
real = "real.jsonl"
synthetic = "made.jsonl"
ratio = "12:8"

[[mixes]]
name = "more-made"
real = "real.jsonl"
synthetic = "made.jsonl"
ratio = "1:3"
rows = 20

[[jobs]]
provider = "fake"
[jobs.grid]
train = ["mix:more-real", "mix:more-made"]
"""


def row(kind: str, number: int, **extra: Any) -> str:
    asked = f"{kind}: what is the meaning of {number * 7919}?"
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": f"It is {number}."}]
    return json.dumps({"messages": turns, **extra})


@pytest.fixture
def files(terminal: Terminal) -> Terminal:
    terminal.write("real.jsonl", "\n".join(row("real", number, category="ab"[number % 2]) for number in range(30)))
    terminal.write("made.jsonl", "\n".join(row("made", number) for number in range(20)))
    return terminal


def mixing(files: Terminal, *flags: str) -> Any:
    return files.here("data", "mix", "--real", "real.jsonl", "--synthetic", "made.jsonl", "-o", "mixed.jsonl", *flags)


def test_a_mix_is_written_and_told(files: Terminal, tmp_path: Path) -> None:
    told = mixing(files, "--ratio", "12:8")
    assert told.code == 0
    assert "20 rows in mixed.jsonl" in told.out
    assert "category: a 6/15, b 6/15" in told.out
    lines = [json.loads(line) for line in (tmp_path / "mixed.jsonl").read_text().splitlines()]
    assert sum(line["provenance"]["source"] == "real" for line in lines) == 12


def test_a_mix_for_programs(files: Terminal) -> None:
    told = mixing(files, "--ratio", "3:1", "--rows", "8", "--json")
    assert told.err == ""
    assert told.data["rows"] == 8
    assert [part["taken"] for part in told.data["parts"]] == [6, 2]
    assert told.data["near_duplicates"] == []


def test_nothing_is_written_over(files: Terminal) -> None:
    assert mixing(files, "--ratio", "2:2").code == 0
    refused = mixing(files, "--ratio", "2:2")
    assert refused.code == 2
    assert "--force" in refused.err
    assert mixing(files, "--ratio", "2:2", "--force").code == 0


def test_too_few_rows(files: Terminal, tmp_path: Path) -> None:
    told = mixing(files, "--ratio", "30:60")
    assert told.code == 2
    assert "made.jsonl: 60 synthetic rows are wanted, it has 20" in told.err
    assert "--ratio 10:20" in told.err
    assert not (tmp_path / "mixed.jsonl").exists()


def test_a_recipe_has_one_job_for_each_mix(files: Terminal) -> None:
    files.write("recipe.toml", RECIPE)
    told = files.here("run", "recipe.toml", "--yes", "--json")
    assert told.code == 0, told.err
    specs = {job["label"]: job["spec"]["train"] for job in told.data["jobs"] if job["kind"] == "tune"}
    assert {label: train["rows"] for label, train in specs.items()} == {
        "train=mix:more-real": 20,
        "train=mix:more-made": 20,
    }
    assert len({train["sha256"] for train in specs.values()}) == 2
    again = files.here("run", "recipe.toml", "--yes", "--json")
    assert {job["id"] for job in again.data["jobs"]} == {job["id"] for job in told.data["jobs"]}


def test_a_recipes_mixes_must_be_there(files: Terminal) -> None:
    files.write("recipe.toml", RECIPE.replace('"mix:more-made"', '"mix:most-made"'))
    told = files.here("run", "recipe.toml", "--yes")
    assert told.code == 2
    assert "no mix is called 'mix:most-made'" in told.err
    assert "mix:more-real, mix:more-made" in told.err


def test_several_ratios_in_one_mix_say_how_they_are_written(files: Terminal) -> None:
    files.write("recipe.toml", RECIPE.replace("ratio = ", "ratios = ", 1))
    told = files.here("run", "recipe.toml", "--yes")
    assert told.code == 2
    assert "for several ratios write several [[mixes]]" in told.err


def test_a_key_that_is_nearly_one_is_named(files: Terminal) -> None:
    files.write("recipe.toml", RECIPE.replace("synthetic = ", "syntetic = ", 1))
    told = files.here("run", "recipe.toml", "--yes")
    assert told.code == 2
    assert "did you mean synthetic?" in told.err


def test_a_mix_of_itself_is_refused(files: Terminal) -> None:
    files.write("recipe.toml", RECIPE.replace('real = "real.jsonl"', 'real = "mix:more-real"', 1))
    told = files.here("run", "recipe.toml", "--yes")
    assert told.code == 2
    assert "made of itself" in told.err


class TestFamiliarity:
    """The errors; the numbers are in `test_familiar.py`, which has a real model."""

    def test_a_pick_needs_a_place(self, files: Terminal) -> None:
        told = files.here("data", "familiarity", "real.jsonl", "--model", "sandbox", "--pick", "lowest")
        assert told.code == 2
        assert "--pick lowest --output best.jsonl" in told.err

    def test_rows_and_scores_have_files_of_their_own(self, files: Terminal) -> None:
        picked = ["--pick", "lowest", "--output", "one.jsonl", "--scores", "./one.jsonl"]
        told = files.here("data", "familiarity", "real.jsonl", "--model", "sandbox", *picked)
        assert told.code == 2
        assert "go to one file" in told.err

    def test_files_that_are_there_stay(self, files: Terminal) -> None:
        told = files.here("data", "familiarity", "real.jsonl", "--model", "sandbox", "--scores", "made.jsonl")
        assert told.code == 2
        assert "made.jsonl exists" in told.err

    def test_a_model_elsewhere_cannot_say(self, files: Terminal) -> None:
        told = files.here("data", "familiarity", "real.jsonl", "--model", "fake:echo", "--json")
        assert told.code == 2
        assert "only models of this machine can" in told.error["message"]
        assert "--model sandbox" in told.error["fix"]


class TestReport:
    def test_a_file_in_the_terminal_and_as_a_page(self, files: Terminal, tmp_path: Path) -> None:
        told = files.here("data", "report", "real.jsonl", "--html", "page.html")
        assert told.code == 0
        assert "30 chat rows" in told.out
        assert "Reading ease of the answers" in told.out
        assert "wrote page.html" in told.err
        assert "<!doctype html>" in (tmp_path / "page.html").read_text(encoding="utf-8")
        again = files.here("data", "report", "real.jsonl", "--html", "page.html")
        assert again.code == 2
        assert "--force" in again.err

    def test_for_programs(self, files: Terminal) -> None:
        told = files.here("data", "report", "real.jsonl", "made.jsonl", "--samples", "2", "--json")
        assert told.err == ""
        assert [(one["name"], one["rows"], len(one["samples"])) for one in told.data] == [
            ("real.jsonl", 30, 2),
            ("made.jsonl", 20, 2),
        ]

    def test_a_folder_without_rows(self, files: Terminal, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        told = files.here("data", "report", "empty")
        assert told.code == 2
        assert "the --output folder of a synthesis" in told.err


@pytest.mark.parametrize("command", ["mix", "familiarity", "report"])
def test_help_has_examples(terminal: Terminal, command: str) -> None:
    told = terminal.here("data", command, "--help")
    assert told.code == 0
    assert f"broker data {command}" in told.out
