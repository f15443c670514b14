"""Models that the broker did not train: a PEFT adapter's folder on its base, refused early where it does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.sandbox import rows
from tests.fakes.terminal import Terminal
from tests.fakes.tiny_model import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sandbox_dir: Path
) -> Terminal:
    made = Terminal(tmp_path, capsys)
    made.env |= {"BROKER_CACHE_DIR": str(sandbox_dir.parents[1]), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    made.write("broker.toml", '[defaults]\nmetrics = ["conversational", "length"]\n')
    for name, part in (
        ("train", rows("casual", 16, seed=3, topics="train")),
        ("val", rows("casual", 6, seed=3, topics="validation")),
    ):
        made.write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in part))
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the adapter and its table are kept for all tests: it is trained once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def tuned(terminal: Terminal, home: Path) -> dict[str, Any]:
    """A model tuned and judged here, its adapter exported to `mine`, and then everything else forgotten."""
    if not (home / "table.json").exists():
        _tune(terminal, home)
    shutil.copytree(home / "mine", terminal.folder / "mine")
    table: dict[str, Any] = json.loads((home / "table.json").read_text(encoding="utf-8"))
    return table


def _tune(terminal: Terminal, home: Path) -> None:
    options = ["--provider", "local", "--model", "sandbox", "--precision", "bf16", "--epochs", "2", "--lr", "1e-3"]
    files = ["--train", "train.jsonl", "--validation", "val.jsonl", "--max-tokens", "32"]
    done = terminal.process("submit", *options, "--batch-size", "4", "--grad-accum", "1", *files, "--json", timeout=280)
    assert done.code == 0, done.err
    job = next(job["id"] for job in done.data["jobs"] if job["kind"] == "tune")
    export = terminal.process("export", job, "-o", str(home / "mine"), timeout=120)
    assert export.code == 0, export.err
    terminal.forget()
    (home / "table.json").write_text(json.dumps(done.data["tables"][0]), encoding="utf-8")


def numbers(table: dict[str, Any], kind: str) -> Any:
    (row,) = [row for row in table["rows"] if row["kind"] == kind]
    return {name: (cell["value"], cell["low"], cell["high"]) for name, cell in row["metrics"].items()}


def test_an_adapter_from_elsewhere_has_the_numbers_it_had_at_home(terminal: Terminal, tuned: dict[str, Any]) -> None:
    models = ("--model", "mine", "--model", "local:sandbox")
    done = terminal.process("eval", "--validation", "val.jsonl", *models, "--max-tokens", "32", "--json", timeout=200)
    assert done.code == 0, done.err
    table = done.data["tables"][0]
    base, adapter = table["rows"]
    assert (base["model"], base["kind"], adapter["label"], adapter["kind"]) == ("sandbox", "base", "mine", "tuned")
    assert (adapter["precision"], adapter["bases"]) == ("bf16", [base["key"]])
    for kind in ("base", "tuned"):
        assert numbers(table, kind) == numbers(tuned, kind)
    gates = terminal.process("compare", "mine", "--gate", "conversational >= base", "--json", timeout=60)
    assert gates.code in (0, 1), gates.err
    assert gates.data["gates"][0]["computed"]


def _pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _empty(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def _homeless(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/gone/base"}))


def test_what_does_not_fit_is_refused_before_anything_is_loaded(terminal: Terminal, tuned: dict[str, Any]) -> None:
    del tuned
    build_tiny(terminal.folder / "other")
    damage: dict[str, Callable[[Path], None]] = {"pickled": _pickled, "empty": _empty, "homeless": _homeless}
    for name, harm in damage.items():
        harm(Path(shutil.copytree("mine", name)))
    for model, more, said in (
        ("pickled", (), "a pickle, which is never loaded"),
        ("empty", (), "there is no adapter in this folder"),
        ("homeless", (), "the base '/gone/base' is not on this disk"),
        ("mine", ("--base", "other"), "the adapter was made for another base"),
        ("mine", ("--base", "nowhere"), "the base 'nowhere' is not on this disk"),
    ):
        told = terminal.here("eval", "--validation", "val.jsonl", "--model", model, *more)
        assert told.code == 2, model
        assert said in told.err, told.err
    terminal.assert_nothing_left()
    homeless = ("--model", "homeless", "--base", "sandbox", "--dry-run", "--json")
    (planned,) = terminal.here("eval", "--validation", "val.jsonl", *homeless).data["jobs"]
    assert planned["job"]["spec"]["model"]["name"] == "sandbox"
