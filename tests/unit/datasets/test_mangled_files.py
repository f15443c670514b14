"""Whatever stands in a file, reading gives rows or a `DataError` with places and fixes; never another exception."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import DataError
from broker.jobs.datasets import read_dataset

if TYPE_CHECKING:
    from pathlib import Path

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
ROWS: list[Any] = [
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "1+1?"}], "name": "Ann"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 0},
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
            {**ANSWER, "weight": 1},
        ],
        "tools": [TOOL],
        "parallel_tool_calls": True,
        "id": 7,
    },
    {"input": {"messages": [USER], "tools": [TOOL]}, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]},
    {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "No."}], "system": "Be kind."},
    {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello", "weight": 1}]},
    {"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]], "system": "f"},
    {"prompt": [USER], "completion": [ANSWER]},
]
STRANGE: list[Any] = [None, True, -1, 0.5, "", " ", "x", [], {}, [None], [[]], {"role": []}, {"a": {"b": []}}, 10**30]


def mangled(value: Any, rng: random.Random) -> Any:
    """Replace, drop or rename one thing somewhere in a value."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        entry = value[key]
        rest = {name: other for name, other in value.items() if name != key}
        chance = rng.random()
        if chance < 0.15:
            return rest
        return {**rest, "strange": entry} if chance < 0.25 else {**rest, key: mangled(entry, rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], mangled(value[index], rng), *value[index + 1 :]]
    return rng.choice(STRANGE)


@pytest.mark.parametrize("seed", range(len(ROWS)))
def test_mangled_rows(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(mangled(ROWS[seed], rng)) for _ in range(600)))
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    assert len({problem.where for problem in caught.value.problems}) > 300
    assert all(problem.what and problem.fix and len(str(problem)) < 600 for problem in caught.value.problems)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_mangled_bytes(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    rng = random.Random(suffix)
    good = json.dumps(ROWS[0]).encode() + b"\n" + json.dumps(ROWS[6]).encode() + b"\n"
    path = tmp_path / f"rows{suffix}"
    for _ in range(150):
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(content))
            content[start : start + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        path.write_bytes(content)
        with pytest.raises(DataError):
            read_dataset(path)


def test_twenty_thousand_rows_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("w") as stream:
        for number in range(20_000):
            question = {"role": "user", "content": f"Question {number}? " * 10}
            stream.write(json.dumps({"messages": [{"role": "system", "content": "Be kind."}, question, ANSWER]}) + "\n")
    began = time.process_time()
    assert len(read_dataset(path).rows) == 20_000
    assert time.process_time() - began < 5
