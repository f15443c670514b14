"""The command line over Gemini's wire: judged live and by batches, through faults, `kill -9` and a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.gemini_server import Habits, Rule, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.gemini_server import Running

ROWS = 40
CONCURRENCY = 4
KEY = "AIzaCanary-of-the-acceptance-0123456789"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def fake(served: Running) -> Running:
    served.clear()
    return served


class Person:
    """Somebody at a command line in a folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        rows = [
            {
                "messages": [
                    {"role": "user", "content": f"What is thing {n} good for?"},
                    {"role": "assistant", "content": f"It is good for task {n}."},
                ]
            }
            for n in range(ROWS)
        ]
        (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = {"tries": 4, "first_pause_s": 0.05, "batch_poll_s": 0.05}
        lines = ["[providers.gemini]", f'base_url = "{url}"', f"concurrency = {CONCURRENCY}"]
        lines += ["[providers.gemini.options]", *(f"{name} = {value}" for name, value in options.items())]
        (folder / "broker.toml").write_text("\n".join(lines) + "\n")
        self.env = {
            **os.environ, "GEMINI_API_KEY": KEY, "BROKER_DATA_DIR": str(folder / "data"), "BROKER_LEASE_S": "2",
        }  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "broker", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def judge(self, *more: str) -> tuple[str, ...]:
        """Return the words that have a model judged."""
        data = ("--validation", "validation.jsonl", "--metric", "flesch", "--experiment", "x", "--yes")
        return ("eval", *data, "--model", "gemini:gemini-3.5-flash-lite", *more)

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def row(self) -> dict[str, Any]:
        """Return the only row of the table."""
        _, out, _ = self.run("results", "x", "--json")
        (row,) = json.loads(out)["rows"]
        return dict(row)

    def killed(self, due: Callable[[], bool], *words: str) -> None:
        """Start a command and kill it without mercy when its time has come."""
        process = self.start(*words)
        ends = time.monotonic() + 60
        while not due():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.fixture
def person(tmp_path: Path, fake: Running) -> Person:
    return Person(tmp_path, fake.url)


def test_a_model_is_judged_through_faults_and_says_what_has_no_answer(person: Person, fake: Running) -> None:
    fake.state.habits = Habits(requests_per_minute=6000, burst=10)
    fake.state.rules = [
        Rule("safety", contains="thing 3 "),
        Rule("finish", contains="thing 5 "),
        Rule("503", nth=[4, 9]),
        Rule("truncated", nth=[6]),
        Rule("429", nth=[12], options={"retry_s": 0.3}),
    ]
    code, out, err = person.run(*person.judge())
    assert code == 0, err
    assert f"{ROWS - 2}/{ROWS}" in out
    assert "HARM_CATEGORY_DANGEROUS_CONTENT" in " ".join(out.split())
    assert "A_REASON_OF_TOMORROW" in out
    assert fake.state.asked_twice() == []
    paid = sum(one.delivered for one in fake.state.paid)
    assert paid == ROWS
    assert KEY not in out + err
    stored = [path for path in (person.folder / "data").rglob("*") if path.is_file()]
    assert [path for path in stored if KEY.encode() in path.read_bytes()] == []


def test_killed_while_asking_it_asks_only_what_is_missing(person: Person, fake: Running) -> None:
    fake.state.habits = Habits(latency_s=0.1)
    person.killed(lambda: len(fake.state.paid) >= ROWS // 2, *person.judge())
    code, _, err = person.run("watch", "--experiment", "x")
    assert code == 0, err
    # What was in the air at the kill may be asked again; what was stored is not.
    assert len(fake.state.asked_twice()) <= 2 * CONCURRENCY
    assert set(fake.state.answers_per_prompt()) == {f"What is thing {n} good for?" for n in range(ROWS)}
    assert person.row()["metrics"]["flesch"]["scored"] == ROWS


def test_killed_while_a_batch_runs_it_takes_up_the_same_batch(person: Person, fake: Running) -> None:
    fake.state.habits = Habits(batch_looks=10_000)
    person.killed(lambda: fake.state.calls["batches.get"] >= 2, *person.judge("--batch"))
    fake.state.habits = Habits(batch_looks=1)
    code, _, err = person.run("watch", "--experiment", "x")
    assert code == 0, err
    assert fake.state.calls["batchGenerateContent"] == 1
    assert fake.state.answers_per_prompt().total() == ROWS
    assert fake.state.calls["generateContent"] == 0
    assert person.row()["metrics"]["flesch"]["scored"] == ROWS


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gemini-2.0-flash-001", "use gemini-3.5-flash-lite, gemini-3.8-flash"),
        ("gemini-of-tomorrow", "no price is known"),
    ],
)
def test_before_anything_is_sent_it_says_what_is_wrong_or_unknown(
    person: Person, fake: Running, model: str, says: str
) -> None:
    words = (
        "eval",
        "--validation",
        "validation.jsonl",
        "--metric",
        "flesch",
        "--model",
        f"gemini:{model}",
        "--dry-run",
    )
    _, out, err = person.run(*words)
    assert says in " ".join((out + err).split())
    assert fake.state.calls == {}
