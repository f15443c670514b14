"""`kill -9` in each state of a real job, and of the torch process in mid-training: the same table, the same adapter."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.sandbox import model_dir, rows

KILLABLE = Path(__file__).with_name("killable.py")
MOMENTS = (
    "tune:preparing",
    "tune:submitting",
    "send",
    "tune:running",
    "step:3",
    "step:6",
    "worker:8+evaluate:preparing",
    "evaluate:running",
    "row:6",
)


@pytest.fixture
def cache(sandbox_dir: Path) -> Path:
    return next(folder for folder in sandbox_dir.parents if model_dir(folder) == sandbox_dir)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    train, validation = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows(kind="casual", n=32, seed=1, topics="train")))
    held_out = rows(kind="casual", n=12, seed=2, topics="validation")
    validation.write_text("".join(json.dumps(row) + "\n" for row in held_out))
    return str(train), str(validation)


def _run(data: Path, cache: Path, files: tuple[str, str], out: Path, moment: str = "") -> int:
    command = [sys.executable, str(KILLABLE), str(data), str(cache), *files, str(out), *([moment] if moment else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


def _seen(out: Path) -> tuple[Any, str]:
    """Return what must not differ: the models' numbers, and the adapter's bytes."""
    found = json.loads(out.read_text())
    assert set(found["states"]) == {"succeeded"}, found["states"]
    numbers = [(row["kind"], row["model"], row["metrics"]) for row in found["table"]["rows"]]
    weights = (Path(found["adapter"]) / "adapter_model.safetensors").read_bytes()
    return numbers, hashlib.sha256(weights).hexdigest()


@pytest.mark.timeout(600)
def test_killed_everywhere_it_ends_with_the_same_table_and_adapter(
    tmp_path: Path, cache: Path, files: tuple[str, str]
) -> None:
    assert _run(tmp_path / "calm", cache, files, tmp_path / "calm.json") == 0
    for moment in MOMENTS:
        assert _run(tmp_path / "killed", cache, files, tmp_path / "x.json", moment) == -signal.SIGKILL, moment
    assert _run(tmp_path / "killed", cache, files, tmp_path / "killed.json") == 0
    assert _seen(tmp_path / "killed.json") == _seen(tmp_path / "calm.json")
    runs = list((tmp_path / "killed" / "local" / "runs").iterdir())
    assert len(runs) == 1, "one run was made, whatever happened"
