"""A blind vote at a terminal: one key a vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.terminal import Terminal, at_screen
from tests.fakes.terminal.screen import CTRL_C
from tests.fakes.vote_hall import MODELS, HallProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Screen


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal where one model was tuned and judged on six prompts."""
    made = Terminal(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    assert made.submit("--experiment", "tone", "--metric", "length").code == 0
    return made


def press(screen: Screen, key: str, then: str) -> None:
    screen.press(key)
    screen.wait_for(then)


def test_a_vote_at_the_terminal_that_is_left_and_gone_on_with(terminal: Terminal) -> None:
    with at_screen(terminal, "vote", *MODELS, "--terminal") as screen:
        screen.wait_for("your name")
        press(screen, "ann\n", "1 of 6")
        assert "u undo" not in screen.text
        press(screen, "1", "2 of 6")
        press(screen, "x", "2 of 6")
        press(screen, "=", "3 of 6")
        screen.raw = ""
        press(screen, "u", "taken back")
        press(screen, "2", "3 of 6")
        screen.press("q")
        assert screen.end() == 0
    assert "2 of 6 are stored; the same command goes on" in screen.text
    assert "preferred" not in screen.text, "who goes on must not know how it stands"
    with at_screen(terminal, "vote", *MODELS, "--terminal", "--voter", "ann", columns=60) as screen:
        screen.wait_for("3 of 6")
        for i in (4, 5, 6):
            press(screen, "s", f"{i} of 6")
        screen.press("t")
        assert screen.end() == 0
    assert "all 6 are done, thank you" in screen.text
    assert "Preference, by 1 voter" in " ".join(screen.text.split())
    (result,) = terminal.here("vote", "--results", "--json").data
    assert (result["panel"]["votes"], result["panel"]["skipped"], result["panel"]["ties"]) == (3, 3, 1)


def test_ctrl_c_at_the_terminal_leaves_it_as_it_was(terminal: Terminal) -> None:
    with at_screen(terminal, "vote", *MODELS, "--terminal", "--voter", "ann", columns=40) as screen:
        screen.wait_for("1 of 6")
        press(screen, "1", "2 of 6")
        assert max(map(len, screen.text.split("\n"))) <= 40
        screen.press(CTRL_C)
        assert screen.end(timeout_s=20) == 130
    assert "Traceback" not in screen.text
    assert len(terminal.here("vote", "--results", "--json").data) == 1


def test_the_page_and_the_terminal_are_one_vote(terminal: Terminal) -> None:
    hall = HallProcess(terminal)
    with at_screen(terminal, "vote", *MODELS, "--terminal", "--voter", "ann") as screen:
        for i in range(1, 6):
            screen.wait_for(f"{i} of 6")
            screen.press("1")
        screen.wait_for("6 of 6")
        screen.press("1")
        assert screen.end() == 0
    (result,) = hall.end()
    assert result["panel"]["votes"] == 6


def test_a_pipe_is_refused(terminal: Terminal) -> None:
    done = terminal.process("vote", *MODELS, "--terminal")
    assert done.code == 2
    assert "leave it out for the page" in done.err


def test_without_the_extra_the_terminal_is_offered(terminal: Terminal) -> None:
    done = terminal.process("vote", *MODELS, hidden="starlette,uvicorn")
    assert done.code == 2
    assert "--terminal" in done.err
    assert "finetune-broker[server]" in done.err
