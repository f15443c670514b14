"""The formats that people have: told apart by the keys of a row, each turned into the internal form.

| format | keys |
|---|---|
| chat | `messages` (OpenAI; `tools`, `parallel_tool_calls`) |
| preference | `input`, `preferred_output`, `non_preferred_output` (OpenAI) |
| preference pairs | `chosen`, `rejected`, mostly `prompt` (TRL) |
| ShareGPT | `conversations` of `from` and `value` |
| Alpaca | `instruction`, `output`, mostly `input` |
| prompt/completion | `prompt`, `completion` |

Rows that are only asked need no answer: chat messages may then end with the question, and `completion` may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from broker.jobs.datasets.conversation import (
    ONLY_ASKED,
    check_calls,
    check_conversation,
    check_prompt,
    read_parallel,
    read_tools,
)
from broker.jobs.datasets.faults import Fault
from broker.jobs.datasets.jsontext import is_array, is_object, shown
from broker.jobs.datasets.messages import read_messages
from broker.jobs.rows import ChatRow, Message, PreferenceRow, Row
from broker.jobs.spec import RowFormat

_SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bing", "bard"), "assistant"),
    "system": "system",
}


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """One format that a file may come in.

    Attributes:
        name: What people call it.
        form: The internal form it becomes.
        keys: The keys that it uses; a row's other keys are kept as `extra`.
        needed: Those that every row has.
        read: Turns a row into the internal form and adds what is wrong to the list.
    """

    name: str
    form: RowFormat
    keys: tuple[str, ...]
    needed: tuple[str, ...]
    read: Callable[[Mapping[str, Any], Mapping[str, Any], int, list[Fault]], Row]


def _chat_row(messages: list[dict[str, Any]], extra: Mapping[str, Any], line: int) -> ChatRow:
    return ChatRow(messages=tuple(messages), extra=extra, line=line)


def _text(row: Mapping[str, Any], key: str, faults: list[Fault], *, optional: bool = False) -> str:
    value = row.get(key)
    if isinstance(value, str) and value.strip():
        return value
    if optional and (value is None or value == ""):
        return ""
    found = f"is {shown(value)}" if key in row else "is missing"
    faults.append(Fault(f"{key} {found}", f'write a text as "{key}", or remove the row'))
    return ""


def _with_system(row: Mapping[str, Any], messages: list[dict[str, Any]], faults: list[Fault]) -> list[dict[str, Any]]:
    system = _text(row, "system", faults, optional=True)
    return [{"role": "system", "content": system}, *messages] if system else messages


# --- one reader a format --------------------------------------------------------------------------------------------


def _read_chat(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    return _chat(row, extra, line, faults, check_conversation)


def _chat(
    row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault], check: Callable[..., None]
) -> Row:
    messages = read_messages(row.get("messages"), "messages", faults)
    tools = read_tools(row, "", faults)
    if messages:
        check(messages, "messages", faults)
        check_calls(messages, tools, faults)
    parallel = read_parallel(row, "", faults)
    return ChatRow(messages=tuple(messages), tools=tuple(tools), parallel_tool_calls=parallel, extra=extra, line=line)


def _read_preference(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    body = row.get("input")
    if not is_object(body):
        faults.append(
            Fault(f"input is {shown(body)}, not an object", 'write "input": {"messages": [{"role": "user", …}]}')
        )
        body = {}
    for key in body.keys() - {"messages", "tools", "parallel_tool_calls", "functions"}:
        faults.append(Fault(f"input has an unknown key {shown(key)}", "remove it, or put it beside input"))
    messages = read_messages(body.get("messages"), "input.messages", faults) if body else []
    tools = read_tools(body, "input.", faults)
    if messages:
        check_prompt(messages, "input.messages", faults)
    return PreferenceRow(
        messages=tuple(messages),
        preferred=_output(row, "preferred_output", faults),
        non_preferred=_output(row, "non_preferred_output", faults),
        tools=tuple(tools),
        parallel_tool_calls=read_parallel(body, "input.", faults),
        extra=extra,
        line=line,
    )


def _output(row: Mapping[str, Any], key: str, faults: list[Fault]) -> tuple[Message, ...]:
    fix = f'write "{key}": [{{"role": "assistant", "content": "…"}}]'
    if key not in row:
        faults.append(Fault(f"{key} is missing", fix))
        return ()
    if not is_array(row[key]) or len(row[key]) != 1:
        faults.append(Fault(f"{key} is {shown(row[key])}, not a list of one message", fix))
        return ()
    messages = read_messages(row[key], key, faults)
    return _only_answer(messages, key, faults)


def _only_answer(messages: list[dict[str, Any]], place: str, faults: list[Fault]) -> tuple[Message, ...]:
    for message in messages:
        if message["role"] != "assistant":
            faults.append(
                Fault(f"{place} is a {message['role'] or 'unknown'} turn", "it must be the assistant's answer")
            )
        if "weight" in message:
            faults.append(Fault(f"{place} has a weight", "remove it; preference rows have none"))
    return tuple(messages)


def _read_pairs(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    prompt = row.get("prompt")
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if is_array(chosen) and is_array(rejected) and len(chosen) > 1:
        prompt, chosen, rejected = _common_prompt(chosen, rejected, faults)
    if is_array(prompt):
        messages = read_messages(prompt, "prompt", faults)
    else:
        text = _text({**row, "prompt": prompt} if prompt is not None else row, "prompt", faults)
        messages = [{"role": "user", "content": text}]
    messages = _with_system(row, messages, faults)
    if all(message["content"] for message in messages):
        check_prompt(messages, "prompt", faults)
    return PreferenceRow(
        messages=tuple(messages),
        preferred=_pair_answer(row, "chosen", chosen, faults),
        non_preferred=_pair_answer(row, "rejected", rejected, faults),
        extra=extra,
        line=line,
    )


def _common_prompt(
    chosen: list[Any], rejected: list[Any], faults: list[Fault]
) -> tuple[list[Any], list[Any], list[Any]]:
    if chosen[:-1] != rejected[:-1]:
        faults.append(
            Fault("chosen and rejected do not begin with the same messages", "let only the last message differ")
        )
    return chosen[:-1], chosen[-1:], rejected[-1:]


def _pair_answer(row: Mapping[str, Any], key: str, value: Any, faults: list[Fault]) -> tuple[Message, ...]:
    if is_array(value):
        return _only_answer(read_messages(value, key, faults), key, faults)
    return ({"role": "assistant", "content": _text(row, key, faults)},)


def _read_sharegpt(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    turns = row.get("conversations")
    if not is_array(turns) or not turns:
        faults.append(
            Fault(f"conversations is {shown(turns)}", 'write [{"from": "human", "value": "…"}, {"from": "gpt", …}]')
        )
        turns = []
    before = len(faults)
    messages = [_turn(turn, f"conversations[{index}]", faults) for index, turn in enumerate(turns)]
    messages = _with_system(row, messages, faults)
    if turns and len(faults) == before:
        check_conversation(messages, "conversations", faults)
    return _chat_row(messages, extra, line)


def _turn(turn: Any, place: str, faults: list[Fault]) -> dict[str, Any]:
    if not is_object(turn) or "from" not in turn:
        faults.append(Fault(f"{place} is {shown(turn)}", 'write {"from": "human" or "gpt", "value": "…"}'))
        return {"role": "", "content": ""}
    speaker = turn["from"]
    role = _SPEAKERS.get(speaker.lower(), "") if isinstance(speaker, str) else ""
    if not role:
        fix = 'write "human", "gpt" or "system"; rows with tools must come as chat messages'
        faults.append(Fault(f"{place}.from is {shown(speaker)}, which is no known speaker", fix))
    value = turn.get("value")
    if not isinstance(value, str) or not value.strip():
        found = shown(value) if "value" in turn else "missing"
        faults.append(Fault(f"{place}.value is {found}", "write the text, or remove the row"))
    message: dict[str, Any] = {"role": role, "content": value if isinstance(value, str) else ""}
    return message if turn.get("weight") is None else {**message, "weight": _turn_weight(turn["weight"], place, faults)}


def _turn_weight(weight: Any, place: str, faults: list[Fault]) -> int:
    if isinstance(weight, bool) or weight not in (0, 1):
        faults.append(Fault(f"{place}.weight is {shown(weight)}", "write 0 (not trained on) or 1 (trained on)"))
        return 1
    return int(weight)


def _read_alpaca(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    question = _text(row, "instruction", faults)
    context = _text(row, "input", faults, optional=True)
    answer = _text(row, "output", faults)
    turns = _history(row.get("history"), faults)
    turns += [
        {"role": "user", "content": f"{question}\n\n{context}" if context else question},
        {"role": "assistant", "content": answer},
    ]
    return _chat_row(_with_system(row, turns, faults), extra, line)


def _history(history: Any, faults: list[Fault]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    if history is not None and not is_array(history):
        faults.append(Fault(f"history is {shown(history)}, not a list", 'write [["question", "answer"], …]'))
        return turns
    for index, pair in enumerate(history or ()):
        if is_array(pair) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair):
            turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
        else:
            faults.append(Fault(f"history[{index}] is {shown(pair)}", 'write ["question", "answer"]'))
    return turns


def _read_completion(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    if is_array(row.get("prompt")) and is_array(row.get("completion")):
        messages = read_messages(row["prompt"], "prompt", faults)
        messages += read_messages(row["completion"], "completion", faults)
        check_conversation(messages, "prompt and completion", faults)
        return _chat_row(messages, extra, line)
    question, answer = _text(row, "prompt", faults), _answer(row, faults)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return _chat_row(_with_system(row, messages, faults), extra, line)


def _answer(row: Mapping[str, Any], faults: list[Fault]) -> str:
    if row.get("completion") is not None:
        return _text(row, "completion", faults)
    faults.append(Fault("completion is missing", f'write the answer as "completion"; {ONLY_ASKED}'))
    return ""


def _unanswered(row: Mapping[str, Any], source: SourceFormat) -> bool:
    """Say whether a row leaves its answer out."""
    if source.name == "prompt/completion":
        return row.get("completion") is None
    messages = row.get("messages") if source.name == "chat" else None
    return is_array(messages) and bool(messages) and is_object(messages[-1]) and messages[-1].get("role") != "assistant"


def _read_question(row: Mapping[str, Any], extra: Mapping[str, Any], line: int, faults: list[Fault]) -> Row:
    """Read a row that holds a question and leaves its answer out."""
    if "messages" in row:
        return _chat(row, extra, line, faults, check_prompt)
    prompt = row.get("prompt")
    if is_array(prompt):
        messages = read_messages(prompt, "prompt", faults)
        check_prompt(messages, "prompt", faults)
    else:
        messages = [{"role": "user", "content": _text(row, "prompt", faults)}]
    return _chat_row(_with_system(row, messages, faults), extra, line)


# --- telling them apart ---------------------------------------------------------------------------------------------

_CHAT_KEYS = ("messages", "tools", "parallel_tool_calls", "functions")
_PREFERENCE_KEYS = ("input", "preferred_output", "non_preferred_output")
_PAIR_KEYS = ("prompt", "chosen", "rejected", "system")
_ALPACA_KEYS = ("instruction", "input", "output", "system", "history")
_COMPLETION_KEYS = ("prompt", "completion", "system")
_FORMATS = (
    SourceFormat("preference", RowFormat.PREFERENCE, _PREFERENCE_KEYS, _PREFERENCE_KEYS, _read_preference),
    SourceFormat("preference pairs", RowFormat.PREFERENCE, _PAIR_KEYS, ("chosen", "rejected"), _read_pairs),
    SourceFormat("chat", RowFormat.CHAT, _CHAT_KEYS, ("messages",), _read_chat),
    SourceFormat("ShareGPT", RowFormat.CHAT, ("conversations", "system"), ("conversations",), _read_sharegpt),
    SourceFormat("Alpaca", RowFormat.CHAT, _ALPACA_KEYS, ("instruction", "output"), _read_alpaca),
    SourceFormat("prompt/completion", RowFormat.CHAT, _COMPLETION_KEYS, ("prompt", "completion"), _read_completion),
)
_MARKS = (
    ("preferred_output", _FORMATS[0]),
    ("non_preferred_output", _FORMATS[0]),
    ("chosen", _FORMATS[1]),
    ("rejected", _FORMATS[1]),
    ("messages", _FORMATS[2]),
    ("conversations", _FORMATS[3]),
    ("instruction", _FORMATS[4]),
    ("completion", _FORMATS[5]),
    ("prompt", _FORMATS[5]),
)


def format_of(row: Mapping[str, Any]) -> SourceFormat | None:
    """Return the format that a row's keys speak for, or None when no key is known.

    Args:
        row: One record's value.
    """
    return next((source for key, source in _MARKS if key in row), None)


def unknown_format(row: Mapping[str, Any], expected: SourceFormat | None) -> Fault:
    """Return what to say about a row whose format nobody knows.

    Args:
        row: One record's value.
        expected: The format of the rows before it.
    """
    keys = ", ".join(shown(key, 30) for key in list(row)[:8]) or "none"
    wanted = expected.needed if expected else tuple(key for key, _ in _MARKS)
    near = [(key, match[0]) for key in row if (match := get_close_matches(key, wanted, n=1))]
    if near:
        fix = f'did you mean "{near[0][1]}" instead of "{near[0][0]}"?'
    else:
        fix = "give " + (" and ".join(expected.needed) if expected else "messages, or prompt and completion")
    missing = f"{' and '.join(expected.needed)} missing" if expected else "no known format"
    return Fault(f"{missing}: the row's keys are {keys}", fix)


def read_row(
    row: Mapping[str, Any], source: SourceFormat, line: int, faults: list[Fault], *, answers: bool = True
) -> Row:
    """Return a row in its internal form; it may be used only if no fault was added.

    Args:
        row: One record's value.
        source: Its format.
        line: Its line in the file.
        faults: Receives what is wrong.
        answers: The row must hold an answer; False for rows that are only asked.
    """
    extra = {key: value for key, value in row.items() if key not in source.keys}
    if not answers and _unanswered(row, source):
        return _read_question(row, extra, line, faults)
    result = source.read(row, extra, line, faults)
    if isinstance(result, PreferenceRow):
        _check_pair(result, source, faults)
    return result


def _check_pair(row: PreferenceRow, source: SourceFormat, faults: list[Fault]) -> None:
    check_calls(row.messages, row.tools, faults)
    if row.preferred and row.preferred == row.non_preferred and row.preferred[0]["content"]:
        good, bad = source.needed[-2:]
        found = shown(row.preferred[0]["content"])
        faults.append(Fault(f"{good} and {bad} are the same: {found}", "give two different answers, or remove the row"))
