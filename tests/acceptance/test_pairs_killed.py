"""`kill -9` while a judge that compares two models is paid: the books never say less than was spent."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.evaluation.judging.asking import JUDGEMENTS
from broker.jobs.rowfile import RowFile
from broker.jobs.store import open_store
from tests.fakes.openai_server import Running, running
from tests.fakes.openai_server.state import Habits
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS, SAMPLES = 8, 2
JUDGE = ("judge", "fake-base", "ft:fake-base:x", "--judge", "judge:gpt-4.1-mini", "--samples", str(SAMPLES), "--yes")


@pytest.fixture
def server() -> Iterator[Running]:
    with running(Habits(latency_s=0.05)) as found:
        yield found


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Running
) -> Terminal:
    """A terminal where two models answered eight prompts, within a budget of a dollar."""
    made = Terminal(tmp_path, capsys)
    account = {"KIND": "openai", "BASE_URL": server.base_url, "API_KEY": "sk-test", "OPTIONS": '{"paid": true}'}
    account["CONCURRENCY"] = "2"
    made.env |= {f"BROKER_PROVIDERS__JUDGE__{name}": value for name, value in account.items()}
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    words = ("oak", "rain", "iron", "bread", "music", "river", "glass", "wheel")
    turns = [[{"role": "user", "content": f"What about {word}?"}] for word in words]
    made.write("asked.jsonl", "".join(json.dumps({"messages": one}) + "\n" for one in turns))
    monkeypatch.chdir(tmp_path)
    models = ("--model", "fake:fake-base", "--model", "fake:ft:fake-base:x")
    asked = ("--validation", "asked.jsonl", "--experiment", "tone", "--metric", "length", "--budget", "1")
    told = made.here("eval", *models, *asked, "--yes")
    assert told.code == 0, told.err
    return made


def replies(terminal: Terminal) -> list[dict[str, Any]]:
    return [line for path in terminal.data_dir.glob(f"preferences/*/*/{JUDGEMENTS}") for line in RowFile(path).read()]


def paid(terminal: Terminal) -> float:
    return sum(float(line["cost_usd"]) for line in replies(terminal))


def spent(terminal: Terminal) -> float:
    store = open_store(f"sqlite:///{terminal.data_dir}/broker.db")
    try:
        return store.spent("tone")
    finally:
        store.close()


@pytest.mark.parametrize("at", [1, 13])
def test_a_killed_judge_is_in_the_books(terminal: Terminal, server: Running, at: int) -> None:
    estimate = terminal.here(*JUDGE, "--dry-run", "--json").data["estimate"]["high_usd"]
    assert spent(terminal) == 0.0  # a dry run writes nothing
    process = terminal.start(*JUDGE)
    give_up = time.monotonic() + 90
    while len(replies(terminal)) < at and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    every = 2 * SAMPLES * ROWS
    assert at <= len(replies(terminal)) < every
    assert spent(terminal) == pytest.approx(estimate)
    assert paid(terminal) < spent(terminal)
    notes = "\n".join(terminal.here("results", "tone", "--json").data["notes"])
    assert "Judging one pair is under way or was stopped" in notes

    told = terminal.process(*JUDGE)
    assert told.code == 0, told.err
    assert len(replies(terminal)) == every
    assert spent(terminal) == pytest.approx(paid(terminal))
    table = terminal.here("results", "tone", "--json").data
    assert [one["cost_usd"] for one in table["expenses"]] == [pytest.approx(paid(terminal))]
    assert "Judging pairs cost $" in "\n".join(table["notes"])
