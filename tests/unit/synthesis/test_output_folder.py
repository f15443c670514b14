"""The output folder: nothing of a person's is lost in it, and it is looked at before anything is paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import UserError
from broker.synthesis.outputs import otherwise_made, require_folder, subsets_in
from tests.fakes.writing_completer import WritingCompleter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.synthesis.conftest import Synthesize


def manifest(folder: Path, accepted: int, requested: int) -> None:
    (folder / "manifest.json").write_text(json.dumps({"accepted": accepted, "requested": requested}), encoding="utf-8")


@pytest.mark.parametrize("name", ["train.jsonl", "train-100.jsonl", "rows.jsonl"])
def test_files_that_no_synthesis_wrote_are_not_replaced(tmp_path: Path, name: str) -> None:
    require_folder(str(tmp_path / "new" / "deep"))
    (tmp_path / "notes.txt").touch()
    (tmp_path / "train-real.jsonl").touch()
    require_folder(str(tmp_path))
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=name):
        require_folder(str(tmp_path))
    manifest(tmp_path, 3, 10)
    require_folder(str(tmp_path))
    manifest(tmp_path, 10, 10)
    with pytest.raises(UserError, match="made before"):
        require_folder(str(tmp_path))
    assert [path.name for path in subsets_in(tmp_path)] == ([name] if name == "train-100.jsonl" else [])


def test_rows_that_were_made_otherwise_are_told_apart(tmp_path: Path) -> None:
    kept = {"requested": 100, "seed": 0, "pipeline": "qa", "model": "gemini@http://127.0.0.1:1/v1:gemini-3.8-flash"}
    kept |= {"options": {"validation": 0.1, "subsets": [10, 50], "system": "Be kind."}}
    (tmp_path / "manifest.json").write_text(json.dumps(kept), encoding="utf-8")
    asked: dict[str, Any] = {"rows": 100, "seed": 0, "pipeline": "qa", "model": "models/gemini-3.8-flash"}
    asked["options"] = {"validation": "0.10", "subsets": ("10", "50"), "system": "Be kind."}

    def found(**changed: Any) -> list[str]:
        return otherwise_made(str(tmp_path), **{**asked, **changed})

    assert found() == found(model=None) == found(options={}) == found(pipeline="mine:pipeline") == []
    assert found(rows=50, seed=1) == ["rows 100, not 50", "seed 0, not 1"]
    assert found(pipeline="persona") == ["pipeline qa, not persona"]
    assert found(model="flash") == [f"model {kept['model']}, not flash"]
    assert found(options={"subsets": ("10",)}) == ["subsets [10, 50], not ('10',)"]
    assert found(options={"min_flesch": 75}) == ["min_flesch None, not 75"]


def test_a_file_is_no_folder_above_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        require_folder(str(tmp_path / "file" / "made"))


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_made_is_told_before_anything_is_asked(made: Synthesize, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "made").touch()
    completer = WritingCompleter()
    with pytest.raises(UserError, match="cannot be written"):
        await made(completer, rows=3)
    assert completer.asked == []


@pytest.mark.anyio
async def test_a_persons_file_beside_the_subsets_stays(made: Synthesize, tmp_path: Path) -> None:
    folder = tmp_path / "job" / "made"
    folder.mkdir(parents=True)
    for name in ("train-real.jsonl", "train-7.jsonl"):
        (folder / name).write_text("mine", encoding="utf-8")
    await made(WritingCompleter(), rows=12)
    assert (folder / "train-real.jsonl").read_text(encoding="utf-8") == "mine"
    assert not (folder / "train-7.jsonl").exists()
