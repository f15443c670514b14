"""CSV, Parquet and data sets that the `datasets` package loads."""

from __future__ import annotations

import builtins
import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import DataError, MissingExtraError
from broker.jobs.datasets import columns, read_dataset, read_hub, read_source, reading, to_canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MESSAGES = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]


@pytest.mark.parametrize(
    "text",
    [
        "prompt,completion\nWhy?,Because.\n",
        "\ufeffprompt;completion\r\nWhy?;Because.\r\n",
        '"prompt"\t"completion"\nWhy?\tBecause.\n',
        "instruction,input,output\nWhy?,,Because.\n",
    ],
)
def test_csv(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    assert to_canonical(read_dataset(path).rows[0]) == {"messages": MESSAGES}


def test_csv_lines_count_line_breaks_in_cells_and_keep_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('prompt,completion,topic\n"a\nb",c,cats\nd,e,\n')
    first, second = read_dataset(path).rows
    assert (first.line, second.line) == (2, 4)
    assert first.extra == {"topic": "cats"}
    assert to_canonical(first)["messages"][0]["content"] == "a\nb"


def test_csv_with_messages_as_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('messages\n"' + json.dumps(MESSAGES).replace('"', '""') + '"\n')
    assert to_canonical(read_dataset(path).rows[0]) == {"messages": MESSAGES}


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)


def test_parquet_nulls_mean_not_given(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    weighted = [MESSAGES[0], {**MESSAGES[1], "weight": 1}]
    write_parquet(path, [{"messages": MESSAGES, "score": 0.5}, {"messages": weighted, "score": float("nan")}])
    first, second = read_dataset(path).rows
    assert to_canonical(first) == {"messages": MESSAGES}
    assert to_canonical(second) == {"messages": weighted}
    assert (first.extra, second.extra, second.line) == ({"score": 0.5}, {}, 2)


def test_parquet_problems_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_parquet(path, [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": None}])
    with pytest.raises(DataError, match=r"rows\.parquet:2: completion is missing"):
        read_dataset(path)


def test_parquet_with_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_parquet(path, [{"prompt": "a", "completion": "b", "image": b"\x89PNG"}])
    with pytest.raises(DataError, match="the column image holds bytes"):
        read_dataset(path)


def missing(module: str) -> Callable[[str], Any]:
    def load(name: str) -> Any:
        if name == module:
            raise ImportError(name)
        return builtins.__import__(name)

    return load


def test_missing_extras_name_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(columns, "import_module", missing("pyarrow"))
    with pytest.raises(MissingExtraError, match=r"pip install 'finetune-broker\[parquet\]'"):
        read_dataset(path)
    monkeypatch.setattr(reading, "import_module", missing("datasets"))
    with pytest.raises(MissingExtraError, match=r"pip install 'finetune-broker\[hub\]'"):
        read_source("hf:someone/something")


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, count in (("train", 3), ("test", 2)):
        lines = [json.dumps({"prompt": f"{name} {i}", "completion": "b"}) for i in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(("split", "rows"), [("", 3), (":test", 2), (":train[:1]", 1)])
def test_hub_splits(hub_folder: Path, split: str, rows: int) -> None:
    dataset = read_hub(f"hf:{hub_folder}{split}")
    assert len(dataset.rows) == rows
    assert dataset.name == f"hf:{hub_folder}{split or ':train'}"


@pytest.mark.parametrize("name", ["hf:{}:nosuch", "hf:{}/nosuch", "hf:"])
def test_hub_unknown_is_one_clear_problem(hub_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("datasets").config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as caught:
        read_source(name.format(hub_folder))
    (problem,) = caught.value.problems
    assert problem.where.startswith("hf:")
    assert problem.fix
