"""The command itself: help, usage errors, exit codes, `--json` anywhere, what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from rich.text import Text

from broker.cli.app import app
from broker.cli.front import EXIT_CODES
from broker.cli.output import Output

if TYPE_CHECKING:
    from tests.fakes.terminal import Terminal

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
# What a look at jobs must not wait for.
SLOW = {
    "sqlalchemy", "alembic", "pydantic", "pydantic_settings", "anyio", "asyncio", "httpx", "openai", "google.genai",
    "numpy", "scipy", "textstat", "torch", "transformers", "rich.markdown", "rich.progress",
}  # fmt: skip


def test_without_a_command_it_shows_the_front_page(terminal: Terminal) -> None:
    bare, asked = terminal.here(), terminal.here("--help")
    assert (bare.code, asked.code) == (0, 0)
    assert bare.out == asked.out
    assert all(f" {command} " in asked.out for command in COMMANDS)
    assert all(text in asked.out for text in EXIT_CODES.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(terminal: Terminal, command: str) -> None:
    done = terminal.here(command, "--help")
    assert done.code == 0
    assert f"broker {command}" in done.out.partition("Usage")[2].partition("\n")[2]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--nonsense", "No such option: --nonsense"),
        ("submit --nonsense", "No such option: --nonsense"),
        ("submti", "Did you mean 'submit'?"),
        ("status", "Missing argument 'JOB'"),
        ("jobs --limit 0", "Invalid value for '--limit'"),
        ("submit --max-tokens many", "Invalid value for '--max-tokens'"),
        ("--color red jobs", "auto"),
        ("status one two", "unexpected extra argument"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_word(terminal: Terminal, line: str, words: str) -> None:
    done = terminal.here(*line.split())
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not done.out
    told = terminal.here(*line.split(), "--json")
    assert told.code == 2
    assert words in told.error["message"]
    assert told.error["exit_code"] == 2
    assert "--help" in told.error["fix"]


def test_json_is_understood_before_and_after_a_command(terminal: Terminal) -> None:
    assert terminal.here("--json", "jobs").data == terminal.here("jobs", "--json").data == []


def test_behind_two_dashes_json_is_a_word(terminal: Terminal) -> None:
    done = terminal.here("status", "--", "--json")
    assert "'--json'" in done.err
    assert done.err.startswith("error:")


def test_one_run_does_not_colour_the_next(terminal: Terminal) -> None:
    assert terminal.here("--data-dir", "elsewhere", "--json", "jobs").data == []
    assert terminal.here("jobs").out == ""
    assert "no jobs yet" in terminal.here("jobs").err


def test_the_version(terminal: Terminal) -> None:
    assert terminal.here("--version").out.startswith("finetune-broker ")
    assert terminal.here("--version", "--json").data.keys() == {"version"}


def test_completion_for_the_shells(terminal: Terminal) -> None:
    # The variable is read when the commands are put together, which a process does once.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for shell in ("bash", "zsh", "fish"):
        done = terminal.process("--show-completion", shell, env=named)
        assert done.code == 0
        assert "_BROKER_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("line", "offered"),
    [("broker st", "status"), ("broker jobs --state runn", "running"), ("broker submit --provider pa", "paid")],
)
def test_the_shell_completes(terminal: Terminal, line: str, offered: str) -> None:
    asked = {"_BROKER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    assert offered in terminal.process(env=asked).out.split()


@pytest.mark.parametrize("arguments", [["--help"], ["jobs"], ["status", "tune-nobody"]], ids=" ".join)
def test_a_look_loads_nothing_slow(terminal: Terminal, arguments: list[str]) -> None:
    code = "import json, sys; from broker.cli.app import run; run(sys.argv[1:]); print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, **terminal.env}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert SLOW & loaded == set()


def test_no_text_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(color="always")
    out.say("a model said \x1b[2J\x9b31m this \x07\r\nand\tthat")
    out.note("and a server \x1b]0;title\x07", style="yellow")
    out.console.print(Text("best", style="green"))
    told = capsys.readouterr()
    assert told.out.startswith("a model said [2J31m this \nand")
    assert "\x1b[32mbest" in told.out  # colours of our own stay
    assert "\x1b]" not in told.err
    assert "and a server ]0;title" in told.err
