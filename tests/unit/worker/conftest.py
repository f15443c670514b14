"""A tiny model and rows for the torch process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.fakes.tiny_model import build_tiny, chat_row, preference_row, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def chat_file(tmp_path: Path) -> Path:
    return chats(tmp_path)


def chats(folder: Path) -> Path:
    return write_rows(folder / "train.jsonl", [chat_row(number) for number in range(20)])


@pytest.fixture
def preference_file(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", [preference_row(number) for number in range(20)])


@pytest.fixture
def train_args(tiny: Path, chat_file: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    return training(tmp_path, tiny, chat_file)


def training(folder: Path, model: Path, rows: Path) -> Callable[..., dict[str, Any]]:
    """Return what makes the arguments of runs in a folder, by name and with what is to be different."""

    def make(name: str = "run", **changes: Any) -> dict[str, Any]:
        run = folder / name
        run.mkdir(exist_ok=True)
        parameters = {"precision": "fp32", "rank": 8, "lr": 0.01, "epochs": 2, "batch_size": 4, "grad_accum": 2}
        return {
            "run": str(run),
            "model": str(model),
            "train": str(rows),
            "validation": None,
            "method": "sft",
            "seed": 713,
            "data": {"name": "train.jsonl", "sha256": "0" * 64, "rows": 20},
            **changes,
            "parameters": {**parameters, **changes.get("parameters", {})},
        }

    return make
