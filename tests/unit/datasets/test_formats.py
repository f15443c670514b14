"""What is accepted, and what it becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import DataError
from broker.jobs.datasets import read_dataset, to_canonical
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from pathlib import Path

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
CHAT = {"messages": [USER, ANSWER]}


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def canonical(folder: Path, row: Any) -> Any:
    return to_canonical(read_dataset(written(folder, row)).rows[0])


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        (CHAT, [USER, ANSWER]),
        ({"prompt": "Why?", "completion": "Because."}, [USER, ANSWER]),
        ({"prompt": [USER], "completion": [ANSWER]}, [USER, ANSWER]),
        (
            {"system": "Be brief.", "prompt": "Why?", "completion": "Because."},
            [{"role": "system", "content": "Be brief."}, USER, ANSWER],
        ),
        ({"instruction": "Why?", "input": "", "output": "Because."}, [USER, ANSWER]),
        (
            {"instruction": "Add up.", "input": "1 and 2", "output": "3"},
            [{"role": "user", "content": "Add up.\n\n1 and 2"}, {"role": "assistant", "content": "3"}],
        ),
        (
            {"instruction": "Why?", "output": "Because.", "history": [["Hi", "Hello"]]},
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, USER, ANSWER],
        ),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]}, [USER, ANSWER]),
        (
            {"messages": [{"role": "developer", "content": "Be brief."}, USER, ANSWER]},
            [{"role": "system", "content": "Be brief."}, USER, ANSWER],
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]},
                    ANSWER,
                ]
            },
            [USER, ANSWER],
        ),
        (
            {"messages": [USER, {**ANSWER, "refusal": None, "tool_calls": None, "weight": 1.0}]},
            [USER, {**ANSWER, "weight": 1}],
        ),
        ({"messages": [{**USER, "name": "Ann"}, ANSWER]}, [{**USER, "name": "Ann"}, ANSWER]),
        ({"messages": [USER, {**ANSWER, "weight": 0}, USER, ANSWER]}, [USER, {**ANSWER, "weight": 0}, USER, ANSWER]),
    ],
)
def test_becomes_chat(row: Any, messages: list[Any], tmp_path: Path) -> None:
    assert canonical(tmp_path, row) == {"messages": messages}


def test_tools_and_calls_are_kept(tmp_path: Path) -> None:
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    row: Any = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "", "tool_call_id": "c1"},
            ANSWER,
        ],
        "tools": [tool],
        "parallel_tool_calls": False,
    }
    assert canonical(tmp_path, row) == row


@pytest.mark.parametrize(
    "row",
    [
        {
            "input": {"messages": [USER]},
            "preferred_output": [ANSWER],
            "non_preferred_output": [{**ANSWER, "content": "No."}],
        },
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
        {"prompt": "Why?", "chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "No."}]},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "No."}]},
        {"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "No."}]},
    ],
)
def test_becomes_preference(row: Any, tmp_path: Path) -> None:
    dataset = read_dataset(written(tmp_path, row), format=RowFormat.PREFERENCE)
    assert dataset.format is RowFormat.PREFERENCE
    assert isinstance(dataset.rows[0], PreferenceRow)
    assert to_canonical(dataset.rows[0]) == {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "No."}],
    }


def test_other_keys_lines_prompt_and_expected(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\n{json.dumps({**CHAT, 'topic': 'cats', 'id': 7})}\r\n\n{json.dumps(CHAT)}")
    first, second = read_dataset(path).rows
    assert isinstance(first, ChatRow)
    assert (first.line, second.line) == (2, 4)
    assert first.extra == {"topic": "cats", "id": 7}
    assert [message["content"] for message in first.prompt] == ["Why?"]
    assert first.expected == "Because."


def test_byte_order_mark_at_the_start_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CHAT).encode())
    assert len(read_dataset(path).rows) == 1


def test_json_array_file_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "alpaca.json"
    rows = [{"instruction": f"q{i}", "input": "", "output": "a, [b]"} for i in range(3)]
    path.write_text(json.dumps(rows, indent=1))
    dataset = read_dataset(path)
    assert [row.line for row in dataset.rows] == [2, 7, 12]
    path.write_text(json.dumps([*rows, {"instruction": "q"}], indent=1))
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    assert caught.value.problems[0].where == f"{path}:17"


@pytest.mark.parametrize(
    ("wanted", "row"), [(RowFormat.PREFERENCE, CHAT), (RowFormat.CHAT, {"chosen": "a", "rejected": "b", "prompt": "c"})]
)
def test_wrong_form_names_the_method(wanted: RowFormat, row: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--method (sft|dpo)"):
        read_dataset(written(tmp_path, row), format=wanted)


def test_name_is_used_in_problems_and_for_the_set(tmp_path: Path) -> None:
    assert read_dataset(written(tmp_path, CHAT)).name == "rows.jsonl"
    assert read_dataset(written(tmp_path, CHAT), name="mine").name == "mine"
    with pytest.raises(DataError, match=r"mine\.jsonl:1:"):
        read_dataset(written(tmp_path, {"messages": []}), name="mine.jsonl")


def test_the_inputs_own_rules_do_not_stop_unusual_texts(tmp_path: Path) -> None:
    text = 'snow \u2603 \U0001f600 \u2028 line\nbreak \\ " quote'
    dataset: Dataset = read_dataset(written(tmp_path, {"prompt": text, "completion": text}))
    assert to_canonical(dataset.rows[0])["messages"][1]["content"] == text
