"""Evaluations as streams, seen from a server that counts.

Rows are stored as they come, a killed broker asks only what is missing, and a failed row is a counted failure. What
holds for local batches is shown by `test_killed.py` and `tests/unit/evaluation/test_run.py`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.openai_server.faults import Rule
from tests.fakes.openai_server.running import Running, running
from tests.fakes.openai_server.state import Habits
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)
PROMPTS = 60


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(tmp_path, capsys)
    made.env |= {"BROKER_LEASE_S": "1"}
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    rows = [
        {"messages": [{"role": "user", "content": f"prompt {n}"}, {"role": "assistant", "content": f"answer {n}"}]}
        for n in range(PROMPTS)
    ]
    made.write("val.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture
def server() -> Iterator[Running]:
    with running(Habits(latency_s=0.15, most_at_once=0)) as made:
        yield made


def command(server: Running) -> list[str]:
    model = f"{server.base_url}#some/model:v1"
    return ["eval", "--validation", "val.jsonl", "--model", model, "--metric", "length", "--yes", "--json"]


def asked(server: Running) -> Counter[str]:
    return Counter(str(body["messages"][-1]["content"]) for body in list(server.state.bodies))


def stored(terminal: Terminal) -> set[str]:
    """Return the prompts whose answer is on disk; a line that is torn off is none."""
    found: set[str] = set()
    for path in terminal.data_dir.glob("evaluations/*/answers.jsonl"):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        found |= {f"prompt {json.loads(line)['id']}" for line in lines}
    return found


def killed_at(terminal: Terminal, server: Running, rows: int) -> set[str]:
    """Run until so many answers are on disk, then kill -9; return what is on disk then."""
    process = terminal.start(*command(server))
    try:
        deadline = time.monotonic() + 60
        while len(stored(terminal)) < rows:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no answers came"
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    return stored(terminal)


def test_a_broker_that_is_killed_asks_only_what_is_missing(terminal: Terminal, server: Running) -> None:
    first = killed_at(terminal, server, 8)
    assert len(first) < PROMPTS, "it was killed too late to show anything"
    second = killed_at(terminal, server, len(first) + 8)
    assert len(second) < PROMPTS
    assert first < second
    before = asked(server)
    done = terminal.process(*command(server), timeout=120)
    assert done.code == 0, done.err
    counts = asked(server)
    # What was stored at a kill is never asked again; what was in flight then is, once for each kill.
    assert {prompt: counts[prompt] for prompt in first} == dict.fromkeys(first, 1)
    assert {prompt: counts[prompt] for prompt in second} == {prompt: before[prompt] for prompt in second}
    assert len(counts) == PROMPTS
    assert all(counts[prompt] == before[prompt] + 1 for prompt in counts if prompt not in second)
    (row,) = done.data["tables"][0]["rows"]
    assert (row["n"], row["failed"], row["metrics"]["length"]["scored"]) == (PROMPTS, 0, PROMPTS)
    # And the answers are those to their own prompts.
    (path,) = terminal.data_dir.glob("evaluations/*/answers.jsonl")
    answers = {line["id"]: line["text"] for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    assert answers == {str(n): f"answer to prompt {n}" for n in range(PROMPTS)}


def test_nothing_is_asked_when_everything_is_there(terminal: Terminal, server: Running) -> None:
    assert terminal.process(*command(server), timeout=120).code == 0
    assert sum(asked(server).values()) == PROMPTS
    assert terminal.process(*command(server), timeout=120).code == 0
    assert sum(asked(server).values()) == PROMPTS


def test_a_metric_that_comes_later_is_computed_from_the_answers_there_are(terminal: Terminal, server: Running) -> None:
    refuse(server, 3)
    assert terminal.process(*command(server), timeout=120).code == 0
    counts = asked(server)
    done = terminal.process(*command(server), "--metric", "flesch", timeout=120)
    assert done.code == 0, done.err
    # What failed is asked once more; everything else is there.
    assert sum((asked(server) - counts).values()) == 1
    rows = done.data["tables"][0]["rows"]
    assert [(row["n"], row["failed"], row["metrics"].get("flesch", {}).get("scored")) for row in rows] == [
        (PROMPTS, 1, None),
        (PROMPTS, 0, PROMPTS),
    ]
    assert [row["metrics"]["length"]["value"] for row in rows] == [4.0, 4.0]


def refuse(server: Running, *places: int) -> None:
    """Refuse the n-th chat requests for good."""
    server.state.rules = [Rule(call="POST /chat/completions", fault="400", nth=list(places))]


def test_a_failed_row_is_a_counted_failure(terminal: Terminal, server: Running) -> None:
    refuse(server, 3, 7)
    done = terminal.process(*command(server), timeout=120)
    assert done.code == 0, done.err
    table: dict[str, Any] = done.data["tables"][0]
    (row,) = table["rows"]
    assert (row["n"], row["failed"], row["metrics"]["length"]["scored"]) == (PROMPTS, 2, PROMPTS - 2)
    # Never a zero: every answer has four words.
    length = row["metrics"]["length"]
    assert (length["value"], length["low"], length["high"]) == (4.0, 4.0, 4.0)
    assert any("2 of 60 prompts have no answer" in warning for warning in table["warnings"])
    assert "58/60" in terminal.here("results").out
    (scores,) = terminal.data_dir.glob("evaluations/*/scores.json")
    values = json.loads(scores.read_text(encoding="utf-8"))["metrics"]["length"]["values"]
    assert (len(values), values.count(None), values.count(0.0)) == (PROMPTS, 2, 0)
