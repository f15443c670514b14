"""The command line over real training: a clean shell to the table, Ctrl-C to a checkpoint and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.terminal import Terminal, at_screen
from tests.fakes.terminal.person import EXAMPLES
from tests.fakes.terminal.screen import CTRL_C

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROWS = str(EXAMPLES / "data" / "tone_of_voice.jsonl")


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sandbox_dir: Path
) -> Terminal:
    made = Terminal(tmp_path, capsys)
    # The lock of the device lies in the folder for temporary files: other tests train meanwhile.
    made.env |= {"BROKER_CACHE_DIR": str(sandbox_dir.parents[1]), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    made.write("broker.toml", '[defaults]\nmetrics = ["conversational", "length"]\n')
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def submit(*more: str) -> list[str]:
    return ["submit", "--provider", "local", "--precision", "int8", "--train", ROWS, "--model", "sandbox", *more]


def test_from_a_clean_shell_to_the_table(terminal: Terminal) -> None:
    done = terminal.process(*submit("--epochs", "2", "--lr", "1e-3", "--max-tokens", "40"), timeout=280)
    assert done.code == 0, done.err
    assert "40 of its 240 rows are marked as validation: they judge the models and never train" in done.err
    assert "Results of tone_of_voice" in done.out
    table = terminal.here("results", "--json").data
    assert [(row["precision"], row["n"]) for row in table["rows"]] == [("int8", 40), ("int8", 40)]
    (job,) = [job for job in terminal.jobs() if job["kind"] == "tune"]
    assert (job["spec"]["train"]["rows"], job["spec"]["parameters"]["epochs"]) == (200, 2)
    assert (Path(job["model"]["adapter"]) / "adapter_model.safetensors").exists()
    chat = terminal.process("chat", job["id"], "-m", "What is a birch?", "--max-tokens", "20", "--json", timeout=120)
    assert chat.code == 0, chat.err
    assert chat.data["answer"]
    export = terminal.process("export", job["id"], "-o", "adapter", timeout=120)
    assert export.code == 0, export.err
    assert (terminal.folder / "adapter" / "adapter_config.json").exists()
    again = terminal.process("export", job["id"], "-o", "adapter", timeout=120)
    assert again.code == 2
    assert "adapter exists" in again.err


def test_ctrl_c_stops_local_training_at_a_checkpoint_and_watch_goes_on(terminal: Terminal) -> None:
    slowly = ("--epochs", "6", "--batch-size", "4", "--grad-accum", "1", "--no-evaluate")
    with at_screen(terminal, *submit(*slowly)) as screen:
        screen.wait_for("loss", timeout_s=200)
        screen.press(CTRL_C)
        assert screen.end() == 130
    assert "local work goes to its next checkpoint" in screen.text
    assert "Traceback" not in screen.text
    (job,) = terminal.jobs()
    assert job["state"] == "running"
    (run,) = (terminal.data_dir / "local" / "runs").iterdir()
    reached = steps_of(terminal, job["id"])
    assert 0 < reached < 300
    assert list((run / "checkpoints").iterdir())
    back = terminal.process("watch", job["id"], timeout=200)
    assert back.code == 0, back.err
    (job,) = terminal.jobs()
    assert (job["state"], job["attempt"], job["result"]["steps"]) == ("succeeded", 1, 300)
    steps = [event["data"]["step"] for event in progress_of(terminal, job["id"])]
    assert steps == sorted(steps), "it went on from its checkpoint, not from the beginning"


def progress_of(terminal: Terminal, job: str) -> list[dict[str, dict[str, int]]]:
    events = json.loads(terminal.here("logs", job, "--json").out)
    return [event for event in events if event["kind"] == "progress"]


def steps_of(terminal: Terminal, job: str) -> int:
    return max(event["data"]["step"] for event in progress_of(terminal, job))
