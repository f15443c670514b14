"""Every kind of malformed input is refused, with its place, what was found and what to change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import DataError, Problem
from broker.jobs.datasets import read_dataset, records

if TYPE_CHECKING:
    from pathlib import Path

USER = {"role": "user", "content": "Why is the sky blue?"}
ANSWER = {"role": "assistant", "content": "Air scatters blue light most."}
GOOD = {"messages": [USER, ANSWER]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
PREFERENCE = {
    "input": {"messages": [USER]},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{"role": "assistant", "content": "Rayleigh scattering."}],
}
GOOD_LINE = json.dumps(GOOD)


@dataclass(frozen=True)
class Case:
    """`content` is written to `name` as it is; the problem must stand at `line` (0: the file) and hold `words`."""

    id: str
    content: bytes
    line: int
    words: tuple[str, ...]
    name: str = "train.jsonl"


def raw(id: str, content: str | bytes, line: int, *words: str, name: str = "train.jsonl") -> Case:
    return Case(id, content if isinstance(content, bytes) else content.encode(), line, words, name)


def second(id: str, line: str | bytes, *words: str) -> Case:
    """A good row, then the bad line: the problem stands on line 2."""
    bad = line if isinstance(line, bytes) else line.encode()
    return Case(id, GOOD_LINE.encode() + b"\n" + bad + b"\n", 2, words)


def row(id: str, value: Any, *words: str) -> Case:
    return second(id, json.dumps(value), *words)


def chat(id: str, messages: Any, *words: str, **keys: Any) -> Case:
    return row(id, {"messages": messages, **keys}, *words)


def preference(id: str, *words: str, **keys: Any) -> Case:
    value = {key: entry for key, entry in {**PREFERENCE, **keys}.items() if entry != "DROP"}
    return raw(id, f"{json.dumps(PREFERENCE)}\n{json.dumps(value)}\n", 2, *words)


FILES = [
    raw("empty file", b"", 0, "empty (0 bytes)"),
    raw("blank lines only", "\n \n\t\n", 0, "no rows"),
    raw("utf-16", GOOD_LINE.encode("utf-16"), 0, "UTF-16", "iconv"),
    raw("utf-16 without a mark", GOOD_LINE.encode("utf-16-le"), 0, "UTF-16"),
    raw("gzip", b"\x1f\x8b\x08\x00rest", 0, "gzip", "gunzip"),
    raw("spreadsheet", b"PK\x03\x04rest", 0, "zip", "CSV"),
    raw("json array", json.dumps([GOOD]), 1, "JSON array", "jq -c '.[]'"),
    raw("json array over lines", "[\n" + GOOD_LINE + "\n]", 1, "JSON array"),
    raw("pretty-printed", json.dumps(GOOD, indent=2), 1, "pretty-printed", "jq -c ."),
    raw("broken array file", "[" + GOOD_LINE + ",]", 0, "not valid JSON", "comma", name="train.json"),
    raw("parquet that is none", b"PAR1 and then nothing", 0, "Parquet", name="train.parquet"),
    raw("mixed formats", GOOD_LINE + '\n{"prompt": "a", "completion": "b"}\n', 2, "prompt/completion", "began as chat"),
]
TEXT = [
    second("mark in the middle", b"\xef\xbb\xbf" + GOOD_LINE.encode(), "byte order mark", "joined"),
    second("invalid utf-8", GOOD_LINE.encode().replace(b"blue", b"bl\xfce"), "not UTF-8", "0xfc", "CP1252"),
    second("cut utf-8", '{"messages": "é'.encode()[:-1], "not UTF-8", "0xc3"),
    second("nul bytes", GOOD_LINE.encode()[:20] + b"\0\0\0", "3 NUL byte(s)", "byte 21"),
    second("invalid json", "messages: hello", "not valid JSON", "character 1"),
    second("python dict", "{'messages': []}", "not valid JSON", "double quotes"),
    second("trailing comma", '{"messages": [],}', "not valid JSON", "comma"),
    second("cut line", GOOD_LINE[:-9], "not valid JSON", "cut off"),
    second("two objects on a line", GOOD_LINE + GOOD_LINE, "Extra data", "line of its own"),
    second("control character", '{"messages": "a\tb"}', "control character"),
    second("duplicate keys", '{"messages": [], "messages": []}', '"messages" stands twice'),
    second("nan", '{"messages": [], "score": NaN}', "NaN is not a JSON value"),
    second("infinity", '{"messages": [], "score": -Infinity}', "-Infinity"),
    second("number too large", '{"messages": [], "score": 1e999}', "1e999", "too large"),
    second("number too long", '{"messages": [], "score": ' + "9" * 5000 + "}", "number cannot be read"),
    second("nested too deep", '{"messages": ' + "[" * 5000 + "]" * 5000 + "}", "deeper than 100 levels"),
    second("lone surrogate", GOOD_LINE.replace("blue", "\\ud83d", 1), "lone surrogate U+D83D"),
    second("escaped nul", GOOD_LINE.replace("blue", "\\u0000", 1), "U+0000"),
    second("not an object: text", '"hello"', '"hello" (str)', "not an object"),
    second("not an object: number", "17", "17 (int)"),
    second("not an object: null", "null", "null (NoneType)"),
    second("not an object: list", '["hello"]', "(list)"),
]
CHAT = [
    row("no messages", {"text": "hello"}, "messages missing", '"text"'),
    row("messages misspelt", {"mesages": [USER, ANSWER]}, 'did you mean "messages"'),
    row("empty object", {}, "messages missing", "none"),
    chat("messages null", None, "messages is null"),
    chat("messages a text", "hello", 'messages is "hello"', "not a list"),
    chat("messages empty", [], "messages is empty"),
    chat("message a text", ["hello", ANSWER], 'messages[0] is "hello"'),
    chat("no role", [{"content": "hi"}, ANSWER], "messages[0] has no role"),
    chat("unknown role", [{"role": "human", "content": "hi"}, ANSWER], 'role is "human"', 'write "user"'),
    chat("role a number", [{"role": 1, "content": "hi"}, ANSWER], "role is 1"),
    chat("capital role", [USER, {**ANSWER, "role": "Assistant"}], '"Assistant"', 'write "assistant"'),
    chat("no assistant turn", [USER], "no assistant turn"),
    chat("last turn not assistant", [USER, ANSWER, USER], "last message is a user turn"),
    chat("no user turn", [{"role": "system", "content": "Be kind."}, ANSWER], "no user turn"),
    chat("empty answer", [USER, {**ANSWER, "content": ""}], "messages[1].content of the assistant turn is empty"),
    chat("blank answer", [USER, {**ANSWER, "content": " \n"}], "is empty"),
    chat("empty question", [{**USER, "content": ""}, ANSWER], "messages[0].content of the user turn is empty"),
    chat("null content", [USER, {**ANSWER, "content": None}], "messages[1].content is null"),
    chat("no content", [USER, {"role": "assistant"}], "messages[1].content is missing"),
    chat("content a number", [USER, {**ANSWER, "content": 42}], "messages[1].content is 42", '"42"'),
    chat("image part", [{**USER, "content": [{"type": "image_url", "image_url": {}}]}, ANSWER], '"image_url"', "text"),
    chat("part without a type", [{**USER, "content": [{"text": "hi"}]}, ANSWER], "not a text part"),
    chat("no parts", [{**USER, "content": []}, ANSWER], "empty list"),
    chat("weight 2", [USER, {**ANSWER, "weight": 2}], "messages[1].weight is 2", "0 (not trained on)"),
    chat("weight true", [USER, {**ANSWER, "weight": True}], "weight is true"),
    chat("weight on user", [{**USER, "weight": 1}, ANSWER], "weight is given on the user message"),
    chat("all weights 0", [USER, {**ANSWER, "weight": 0}], "all 1 assistant turns have weight 0"),
    chat("unknown message key", [USER, {**ANSWER, "contnt": "x"}], '"contnt"', 'did you mean "content"'),
    chat("bad name", [{**USER, "name": "John Doe"}, ANSWER], 'name is "John Doe"'),
    chat("refusal", [USER, {"role": "assistant", "content": None, "refusal": "No."}], "refusal", "content"),
    chat("function_call", [USER, {**ANSWER, "function_call": {"name": "f"}}], "function_call", "tool_calls"),
    chat("tools not a list", [USER, ANSWER], "tools is", tools={"type": "function"}),
    chat("tool without a name", [USER, ANSWER], "function.name is null", tools=[{"type": "function", "function": {}}]),
    chat("tool without function", [USER, ANSWER], 'tools[0] is {"name": "f"}', tools=[{"name": "f"}]),
    chat("tool defined twice", [USER, ANSWER], '"get_weather" twice', tools=[TOOL, TOOL]),
    chat("old functions", [USER, ANSWER], "functions is the old form", functions=[{"name": "f"}]),
    chat("parallel_tool_calls a text", [USER, ANSWER], 'parallel_tool_calls is "yes"', parallel_tool_calls="yes"),
    chat("tool_calls not a list", [USER, {**ANSWER, "tool_calls": "x"}], 'tool_calls is "x"'),
    chat("tool call without id", [USER, {**ANSWER, "tool_calls": [{**CALL, "id": None}]}], "tool_calls[0].id is null"),
    chat(
        "arguments an object",
        [USER, {**ANSWER, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}]}],
        'arguments is {"a": 1}, not a text',
        "json.dumps",
    ),
    chat(
        "arguments no json",
        [USER, {**ANSWER, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{a}"}}]}],
        "arguments is no JSON",
    ),
    chat(
        "unknown tool called",
        [USER, {**ANSWER, "tool_calls": [CALL]}],
        '"get_weather"',
        tools=[{"type": "function", "function": {"name": "get_wether"}}],
    ),
    chat("tool message without id", [USER, {"role": "tool", "content": "5"}, ANSWER], "tool_call_id is missing"),
    chat(
        "tool message to no call",
        [USER, {"role": "tool", "content": "5", "tool_call_id": "call_9"}, ANSWER],
        '"call_9", which nobody made',
    ),
]
PREFERENCES = [
    preference("no preferred_output", "preferred_output is missing", preferred_output="DROP"),
    preference("no non_preferred_output", "non_preferred_output is missing", non_preferred_output="DROP"),
    preference("no input", "input is null, not an object", input=None),
    preference("input a text", 'input is "Why?"', input="Why?"),
    preference("input without messages", "input.messages is null", input={"tools": []}),
    preference("prompt ends with an answer", "ends with the assistant turn", input={"messages": [USER, ANSWER]}),
    preference("output a text", "not a list of one message", preferred_output="Because."),
    preference("two outputs", "not a list of one message", preferred_output=[ANSWER, ANSWER]),
    preference("output by the user", "is a user turn", preferred_output=[USER]),
    preference("same outputs", "are the same", "Air scatters", non_preferred_output=[ANSWER]),
    preference("empty output", "is empty", non_preferred_output=[{"role": "assistant", "content": ""}]),
    preference("weight in an output", "has a weight", preferred_output=[{**ANSWER, "weight": 1}]),
    raw("pairs: no rejected", '{"prompt": "a", "chosen": "b"}\n', 1, "rejected is missing"),
    raw("pairs: the same", '{"prompt": "a", "chosen": "b", "rejected": "b"}\n', 1, "chosen and rejected are the same"),
]
OTHERS = [
    raw("completion: empty prompt", '{"prompt": "", "completion": "b"}\n', 1, 'prompt is ""'),
    raw("completion: blank answer", '{"prompt": "a", "completion": " "}\n', 1, 'completion is " "'),
    raw("completion: no answer", '{"prompt": "a"}\n', 1, "completion is missing"),
    raw("completion: a number", '{"prompt": "a", "completion": 4}\n', 1, "completion is 4"),
    raw("alpaca: no output", '{"instruction": "a", "input": ""}\n', 1, "output is missing"),
    raw("alpaca: bad history", '{"instruction": "a", "output": "b", "history": [["x"]]}\n', 1, 'history[0] is ["x"]'),
    raw("sharegpt: not a list", '{"conversations": {}}\n', 1, "conversations is {}"),
    raw(
        "sharegpt: unknown from",
        '{"conversations": [{"from": "alien", "value": "a"}, {"from": "gpt", "value": "b"}]}\n',
        1,
        'conversations[0].from is "alien"',
        '"human"',
    ),
    raw(
        "sharegpt: empty value",
        '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}]}\n',
        1,
        'conversations[1].value is ""',
    ),
    raw("sharegpt: no answer", '{"conversations": [{"from": "human", "value": "a"}]}\n', 1, "no assistant turn"),
    raw("csv: no known columns", "foo,bar\n1,2\n", 2, '"foo", "bar"', name="train.csv"),
    raw("csv: missing column", "prompt,answer\na,b\n", 2, "completion is missing", name="train.csv"),
    raw("csv: column twice", "prompt,prompt\na,b\n", 1, '"prompt" stands twice', name="train.csv"),
    raw("csv: header only", "prompt,completion\n", 0, "no rows", name="train.csv"),
    raw("csv: too many cells", "prompt,completion\na,b\nc,d,e\n", 3, "3 cells", "2 columns", name="train.csv"),
    raw("csv: empty cell", "prompt,completion\na,b\n\nc,\n", 4, "completion is missing", name="train.csv"),
    raw("csv: open quote", 'prompt,completion\na,"b\n', 2, "not valid CSV", name="train.csv"),
    raw("csv: latin-1", "prompt,completion\na,bl\xfce\n".encode("latin-1"), 2, "not UTF-8", name="train.csv"),
    raw("csv: broken messages", 'messages\n"[{]"\n', 2, "column messages", name="train.csv"),
]
CASES = [*FILES, *TEXT, *CHAT, *PREFERENCES, *OTHERS]


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_refused_with_place_reason_and_fix(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    problems = problems_of(path)
    place = f"{path}:{case.line}" if case.line else str(path)
    fitting = [problem for problem in problems if problem.where == place]
    assert fitting, problems
    text = "\n".join(map(str, fitting))
    assert all(word in text for word in case.words), text
    assert all(problem.fix for problem in problems)
    assert {problem.where for problem in problems} == {place}, "good rows are not blamed"


def test_at_least_sixty_kinds() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(GOOD_LINE)
    (problem,) = problems_of(tmp_path / "trian.jsonl")
    assert problem.what == "there is no such file"
    assert problem.fix == f"did you mean {tmp_path / 'train.jsonl'}?"
    (problem,) = problems_of(tmp_path / "nope.jsonl")
    assert problem.fix == "check the path"


def test_folder(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path)
    assert "folder" in problem.what


def test_huge_line_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 1 << 20)
    path = tmp_path / "train.jsonl"
    path.write_text(f"{GOOD_LINE}\n{'x' * (3 << 20)}\n{GOOD_LINE}\n{{\n")
    problems = problems_of(path)
    assert [problem.where for problem in problems] == [f"{path}:2", f"{path}:4"]
    assert "longer than 1 MiB" in problems[0].what


def test_all_problems_of_all_rows_at_once(tmp_path: Path) -> None:
    bad = {"messages": [{"role": "bot", "content": ""}, {"role": "assistant", "content": None, "weight": 3}]}
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([GOOD_LINE, json.dumps(bad), GOOD_LINE, "{", json.dumps({"messages": []})]))
    problems = problems_of(path)
    assert {problem.where.rpartition(":")[2] for problem in problems} == {"2", "4", "5"}
    assert sum(problem.where.endswith(":2") for problem in problems) >= 4


def test_long_values_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"messages": "x" * 5000}))
    (problem,) = problems_of(path)
    assert len(problem.what) < 200
    assert "characters)" in problem.what
