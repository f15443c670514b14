"""At a terminal: Ctrl-C once and twice, questions, leaving and coming back, narrow windows, pipes, colours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.terminal import Terminal, at_screen
from tests.fakes.terminal.screen import CTRL_C, CTRL_D

DATA = ("--train", "train.jsonl", "--validation", "validation.jsonl")


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def tuning(terminal: Terminal) -> dict[str, Any]:
    (job,) = [job for job in terminal.jobs() if job["kind"] == "tune"]
    return job


def test_ctrl_c_once_lets_go_and_watch_goes_on(terminal: Terminal) -> None:
    with at_screen(terminal, "submit", "--provider", "steady", *DATA, "--experiment", "tone") as screen:
        screen.wait_for("loss")
        screen.press(CTRL_C)
        assert screen.end() == 130
    assert "stopping: local work goes to its next checkpoint (Ctrl-C again stops at once)" in screen.text
    assert "Remote jobs go on at their provider; local ones wait at a checkpoint." in screen.text
    assert "broker watch --experiment tone" in screen.text
    assert "Traceback" not in screen.text
    assert tuning(terminal)["state"] == "running"
    back = terminal.process("watch", "--experiment", "tone")
    assert back.code == 0
    assert "Results of tone" in back.out
    assert tuning(terminal)["attempt"] == 1
    ledger = (terminal.data_dir / "steady" / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert [row["call"] for row in map(json.loads, ledger)].count("create") == 1
    assert not [row for row in map(json.loads, ledger) if row["call"] == "want"], "nothing remote was cancelled"


def test_ctrl_c_twice_ends_at_once_and_cancels_nothing(terminal: Terminal) -> None:
    with at_screen(terminal, "submit", "--provider", "slow", *DATA) as screen:
        screen.wait_for("loss")
        screen.press(CTRL_C)
        screen.wait_for("stopping")
        os.kill(screen.pid, signal.SIGINT)  # as the second key does, but also when the first has ended it already
        assert screen.end(timeout_s=10) == 130
    assert tuning(terminal)["state"] == "running"


def test_a_polite_end_by_another_process_is_like_ctrl_c(terminal: Terminal) -> None:
    process = terminal.start("submit", "--provider", "slow", *DATA)
    wait_for_state(terminal, "running")
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "go on:  broker watch" in err
    assert tuning(terminal)["state"] == "running"


def test_a_yes_is_asked_for_before_money_is_spent(terminal: Terminal) -> None:
    with at_screen(terminal, "submit", "--provider", "paid", *DATA) as screen:
        screen.wait_for("Spend up to $2.00? [y/N]:")
        screen.press("n\n")
        assert screen.end() == 130
    assert "nothing was sent" in screen.text
    terminal.assert_nothing_left()
    with at_screen(terminal, "submit", "--provider", "paid", *DATA) as screen:
        screen.wait_for("[y/N]:")
        screen.press(CTRL_C)
        assert screen.end(timeout_s=20) == 130
    assert "nothing was started" in screen.text
    terminal.assert_nothing_left()
    with at_screen(terminal, "submit", "--provider", "paid", *DATA) as screen:
        screen.wait_for("[y/N]:")
        screen.press("y\n")
        assert screen.end() == 0
    assert "$2.00" in screen.text.rpartition("[y/N]")[2]


def test_a_chat_ends_with_ctrl_d_and_with_ctrl_c(terminal: Terminal) -> None:
    with at_screen(terminal, "chat", "fake:fake-base") as screen:
        screen.wait_for("> ")
        screen.press("Why?\n")
        screen.wait_for("The aforementioned")
        screen.press(CTRL_D)
        assert screen.end() == 0
    with at_screen(terminal, "chat", "fake:fake-base") as screen:
        screen.wait_for("> ")
        screen.press(CTRL_C)
        assert screen.end(timeout_s=20) == 130
    asked = terminal.process("chat", "fake:fake-base", "--json", stdin=None, input="One?\nTwo?")
    assert [json.loads(line)["model"] for line in asked.out.splitlines()] == ["fake:fake-base"] * 2


def test_detached_jobs_go_on_and_watch_attaches_again(terminal: Terminal) -> None:
    done = terminal.process("submit", "--provider", "steady", *DATA, "--experiment", "tone", "--detach", "--json")
    assert done.code == 0
    assert len(done.data["jobs"]) == 3
    watched = terminal.process("watch", "--experiment", "tone", "--json")
    assert watched.code == 0
    assert {job["state"] for job in watched.data["jobs"]} == {"succeeded"}
    assert watched.data["tables"][0]["experiment"] == "tone"
    wait_until_gone(done.data["process"])
    assert "succeeded" in (terminal.data_dir / "broker.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("command", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_what_is_asked_of_a_job_is_done_by_whoever_drives_it(terminal: Terminal, command: str, state: str) -> None:
    process = terminal.start("submit", "--provider", "slow", *DATA, "--no-evaluate")
    wait_for_state(terminal, "running")
    done = terminal.here(command, tuning(terminal)["id"])
    assert done.code == 0
    assert f"is {state}" in done.err
    process.communicate(timeout=30)
    assert process.returncode == (1 if command == "cancel" else 0)
    assert tuning(terminal)["state"] == state


def test_what_nobody_does_is_told(terminal: Terminal) -> None:
    process = terminal.start("submit", "--provider", "slow", *DATA, "--no-evaluate")
    wait_for_state(terminal, "running")
    process.terminate()
    process.communicate(timeout=30)
    job = tuning(terminal)["id"]
    done = terminal.here("cancel", job)
    assert f"no broker drives it now; broker watch {job} acts on it" in done.err
    assert "running (cancel asked)" in terminal.here("jobs").out
    assert terminal.process("watch", job).code == 1
    assert tuning(terminal)["state"] == "cancelled"


@pytest.mark.parametrize("columns", [200, 100, 60, 40])
def test_an_id_can_be_copied_at_any_width(terminal: Terminal, columns: int) -> None:
    terminal.submit("--experiment", "an-experiment-with-a-rather-long-name", "--label", "some words about it")
    with at_screen(terminal, "jobs", columns=columns) as screen:
        assert screen.end() == 0
    assert all(job["id"] in screen.text for job in terminal.jobs())
    assert max(len(line) for line in screen.text.splitlines()) <= columns
    with at_screen(terminal, "status", "tune", columns=columns) as screen:
        assert screen.end() == 0
    assert max(len(line) for line in screen.text.splitlines()) <= columns


@pytest.mark.parametrize("columns", [120, 50])
def test_progress_fits_the_window(terminal: Terminal, columns: int) -> None:
    with at_screen(terminal, "submit", "--provider", "fake", *DATA, "--experiment", "tone", columns=columns) as screen:
        assert screen.end() == 0
    assert max(len(line) for line in screen.text.splitlines()) <= columns
    assert "Results of tone" in screen.text


def test_colours_are_for_terminals_that_want_them(terminal: Terminal) -> None:
    terminal.submit()
    with at_screen(terminal, "jobs") as screen:
        screen.end()
    assert "\x1b[32m" in screen.raw
    with at_screen(terminal, "jobs", env={"NO_COLOR": "1"}) as screen:
        screen.end()
    assert "\x1b[32m" not in screen.raw
    with at_screen(terminal, "--color", "never", "jobs") as screen:
        screen.end()
    assert "\x1b[32m" not in screen.raw
    assert "\x1b[" not in terminal.process("jobs").out
    assert "\x1b[32m" in terminal.process("--color", "always", "jobs").out
    assert "\x1b[" not in terminal.process("submit", "--nonsense").err


@pytest.mark.parametrize("command", ["--help", "jobs", "jobs --json", "results", "models", "submit --help"])
def test_a_reader_that_goes_away_is_no_error(terminal: Terminal, command: str) -> None:
    terminal.submit()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        terminal.command(*command.split()),
        cwd=terminal.folder,
        env=terminal.environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Broken pipe" not in done.stderr
    assert "Traceback" not in done.stderr


def test_work_goes_on_when_nobody_reads_its_progress(terminal: Terminal) -> None:
    process = subprocess.run(
        [
            "bash",
            "-c",
            'set -o pipefail; "$@" 2>&1 | head -n 1',
            "bash",
            *terminal.command("submit", "--provider", "fake", *DATA),
        ],
        cwd=terminal.folder,
        env=terminal.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0
    assert {job["state"] for job in terminal.jobs()} == {"succeeded"}


def wait_for_state(terminal: Terminal, state: str) -> None:
    end = time.monotonic() + 30
    while not any(job["kind"] == "tune" and job["state"] == state for job in terminal.jobs()):
        assert time.monotonic() < end
        time.sleep(0.1)


def wait_until_gone(process: int) -> None:
    end = time.monotonic() + 30
    while _runs(process):
        assert time.monotonic() < end
        time.sleep(0.1)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
