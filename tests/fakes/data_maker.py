"""Somebody who has data made at a command line by a loopback Gemini server, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.jobs.rowfile import RowFile
from broker.synthesis.answerbook import ANSWERS

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path

KEY = "AIzaCanary-of-the-synthesis-0123456789"
# What the account may have in the air, so that a test can say how much a kill may repeat.
CONCURRENCY = 4


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class DataMaker:
    """Runs `broker` as processes; what they make lies in `made`."""

    def __init__(self, folder: Path, url: str, encoder: Path, **more: float) -> None:
        self.folder = folder
        self.url = url
        self.made = folder / "made"
        options = {"tries": 6, "first_pause_s": 0.05, "paid": "true", **more}
        lines = ["[providers.gemini]", f"concurrency = {CONCURRENCY}"]
        lines += ["[providers.gemini.options]", *(f"{name} = {value}" for name, value in options.items())]
        (folder / "broker.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # The encoder's cache is shared by all runs of the tests.
        own = {"DATA_DIR": folder / "data", "CACHE_DIR": encoder.parents[1], "LEASE_S": 5}
        self.env = {**os.environ, "GEMINI_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
        self.env |= {f"BROKER_{name}": str(value) for name, value in own.items()}

    def submit(self, source: Path, rows: int, *more: str) -> tuple[str, ...]:
        """Return the words that have rows made."""
        what = ("--source", str(source), "--pipeline", "qa", "--rows", str(rows), "--encoder", "sandbox-encoder")
        return ("submit", "--provider", f"gemini@{self.url}", *what, "--output", str(self.made), "--yes", *more)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "broker", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, timeout_s: float = 100) -> Ended:
        process = self.start(*words)
        out, err = process.communicate(timeout=timeout_s)
        return Ended(process.returncode, out, err)

    def stopped(self, due: Callable[[], bool], how: signal.Signals, *words: str) -> Ended:
        """Start a command and send it a signal when its time has come."""
        process = self.start(*words)
        give_up = time.monotonic() + 90
        while not due():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < give_up
            time.sleep(0.01)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)

    def rows(self, name: str = "rows.jsonl") -> list[dict[str, Any]]:
        """Return the rows of one of the files that were made."""
        lines = (self.made / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.made / "manifest.json").read_text(encoding="utf-8"))
        return found

    def noted(self) -> list[dict[str, Any]]:
        """Return the lines of the only answer book."""
        paths = (self.folder / "data").glob(f"synthesis/*/{ANSWERS}")
        return [line for path in paths for line in RowFile(path).read()]

    def stored(self) -> set[str]:
        """Return the keys of the answers that are on the disk."""
        return {line["key"] for line in self.noted() if "sent" not in line and "unpaid" not in line}
