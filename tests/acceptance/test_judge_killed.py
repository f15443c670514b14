"""`kill -9` while a judge is paid: what it said is stored, and only the rest is asked of it again."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.evaluation.judging.asking import JUDGEMENTS
from broker.jobs.rowfile import RowFile
from tests.fakes.openai_server import Running, running
from tests.fakes.openai_server.state import Habits
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS, SAMPLES = 8, 3
EVAL = ("eval", "--model", "fake:fake-base", "--experiment", "tone", "--yes")
JUDGED = ("--metric", "judge:empathy", "--judge", "judge:gpt-4.1-mini", "--judge-samples", str(SAMPLES))


@pytest.fixture
def server() -> Iterator[Running]:
    with running(Habits(latency_s=0.05)) as found:
        yield found


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Running
) -> Terminal:
    made = Terminal(tmp_path, capsys)
    account = {"KIND": "openai", "BASE_URL": server.base_url, "API_KEY": "sk-test", "OPTIONS": '{"paid": true}'}
    account["CONCURRENCY"] = "2"
    made.env |= {f"BROKER_PROVIDERS__JUDGE__{name}": value for name, value in account.items()}
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    words = ("oak", "rain", "iron", "bread", "music", "river", "glass", "wheel")
    lines = [_row(f"What about {word}?") for word in words]
    made.write("judged.jsonl", "\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return made


def _row(question: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "It is so."}]
    return json.dumps({"messages": turns})


def stored(terminal: Terminal) -> list[dict[str, Any]]:
    return [line for path in terminal.data_dir.glob(f"evaluations/*/{JUDGEMENTS}") for line in RowFile(path).read()]


@pytest.mark.parametrize("replies", [1, 7, 17])
def test_killed_evaluations_never_pay_twice(terminal: Terminal, server: Running, replies: int) -> None:
    process = terminal.start(*EVAL, "--validation", "judged.jsonl", *JUDGED)
    give_up = time.monotonic() + 90
    while len(stored(terminal)) < replies and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = {line["key"] for line in stored(terminal)}
    before = len(server.state.bodies)
    assert replies <= len(kept) <= before

    told = terminal.process("watch", env={"BROKER_LEASE_S": "1"})
    assert told.code == 0, told.err
    lines = stored(terminal)
    assert len(lines) == len({line["key"] for line in lines}) == ROWS * SAMPLES
    assert kept < {line["key"] for line in lines}
    # After the kill only what was not stored was asked, once.
    asked = [(body["messages"][-1]["content"], body["seed"]) for body in list(server.state.bodies)[before:]]
    assert len(asked) == len(set(asked)) == ROWS * SAMPLES - len(kept)
    (row,) = terminal.here("results", "tone", "--json").data["rows"]
    assert row["metrics"]["judge:empathy"]["scored"] == ROWS
    assert row["judge_cost_usd"] == pytest.approx(sum(line["cost_usd"] for line in lines))
