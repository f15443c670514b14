"""The rows of the demo as files: what a person who has no data yet can tune and judge with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.sandbox.text import preference_rows, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRAIN_ROWS = 100
VALIDATION_ROWS = 100
PREFERENCE_ROWS = 100


def write_demo_data(folder: Path, *, seed: int = 0) -> None:
    """Write `train.jsonl`, `validation.jsonl` and `preference.jsonl`; no topic of the second is in the others.

    Args:
        folder: Made when missing; older files of these names are replaced.
        seed: Chooses facts and wording.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.jsonl", rows("casual", TRAIN_ROWS, seed, "train"))
    _write(folder / "validation.jsonl", rows("casual", VALIDATION_ROWS, seed, "validation"))
    _write(folder / "preference.jsonl", preference_rows(PREFERENCE_ROWS, seed, "train"))


def _write(path: Path, made: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
