"""The output folder: nothing of a person's is lost in it, and it is looked at before anything is paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.errors import UserError
from broker.synthesis.outputs import require_folder, subsets_in
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
