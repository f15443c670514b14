from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


EXAMPLES = Path(__file__).parents[3] / "examples"
# A provider that makes its own remote: quick, and with the faults that its options name.
ACCOUNTS = """
[defaults]
metrics = ["length"]
[providers.paid]
kind = "fake"
options = {price_usd = 2.0}
[providers.failing]
kind = "fake"
options = {fail = "bad_luck"}
[providers.lost]
kind = "fake"
options = {faults = ["vanished"], findable = false}
[providers.slow]
kind = "fake"
options = {steps = 100000, poll_s = 0.05}
[providers.steady]
kind = "fake"
options = {steps = 60, poll_s = 0.05}
"""
# Makes packages look as if they were not installed.
HIDER = """
import importlib.machinery as machinery
import os

hidden = set(os.environ["HIDDEN_PACKAGES"].split(","))
find_spec = machinery.PathFinder.find_spec


def find(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else find_spec(name, path, target)


machinery.PathFinder.find_spec = classmethod(find)
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error


@dataclass(slots=True)
class Terminal:
    """A folder of its own with rows, accounts and a store."""

    folder: Path
    captured: pytest.CaptureFixture[str]
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "broker.toml").write_text(ACCOUNTS, encoding="utf-8")
        for part, rows in (("train", 20), ("validation", 6)):
            lines = (EXAMPLES / "data" / f"tone_of_voice.{part}.jsonl").read_text(encoding="utf-8").splitlines()
            self.write(f"{part}.jsonl", "\n".join(lines[:rows]) + "\n")
        self.env["BROKER_DATA_DIR"] = str(self.data_dir)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def rows(self) -> list[str]:
        return (self.folder / "train.jsonl").read_text(encoding="utf-8").splitlines()

    def here(self, *arguments: str) -> Done:
        """Run in this process; the folder and the environment must be set by the fixture."""
        from broker.cli.app import run

        self.captured.readouterr()
        code = run(arguments)
        out, err = self.captured.readouterr()
        return Done(code, out, err)

    def submit(self, *arguments: str, provider: str = "fake") -> Done:
        """Run `broker submit` in this process on the folder's rows."""
        data = () if "--train" in arguments else ("--train", "train.jsonl")
        judged = {"--validation", "--split", "--no-evaluate"} & {*arguments}
        against = () if judged or "--train" in arguments else ("--validation", "validation.jsonl")
        return self.here("submit", "--provider", provider, *data, *against, *arguments)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "broker", *arguments]

    def process(self, *arguments: str, hidden: str = "", env: Mapping[str, str] | None = None, **options: Any) -> Done:
        """Run in a process of its own, if need be without some packages."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, **options}
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(hidden, env),
            text=True,
            check=False,
            **given,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a process and return at once."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment("", env),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def environment(self, hidden: str = "", env: Mapping[str, str] | None = None) -> dict[str, str]:
        made = {**os.environ, **self.env, **(env or {})}
        if hidden:
            self.write("hiding/sitecustomize.py", HIDER)
            made |= {"PYTHONPATH": str(self.folder / "hiding"), "HIDDEN_PACKAGES": hidden}
        return made

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.here("jobs", "--json").data
        return found

    def assert_nothing_left(self) -> None:
        """No job, no experiment, no run, no half-written file."""
        assert self.jobs() == []
        if (self.data_dir / "broker.db").exists():
            assert self.here("results", "--list", "--json").data == []
        assert not list(self.data_dir.glob("*/runs/*")), "a run folder was left"
        calls = [path for path in self.data_dir.glob("*/ledger.jsonl") if path.stat().st_size]
        assert not calls, "a provider was called"
        stored = [path for path in (self.data_dir / "artifacts").rglob("*") if path.is_file()]
        assert all(len(path.name) == 64 for path in stored), f"half-written: {stored}"

    def forget(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def once(self, kept: Path, make: Callable[[], None]) -> None:
        """Make a store, or take a copy of the one that an earlier test of the module made and left in `kept`."""
        if kept.exists():
            shutil.copytree(kept, self.data_dir)
        else:
            make()
            shutil.copytree(self.data_dir, kept)
