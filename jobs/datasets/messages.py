"""Chat messages: what one may hold, and what a conversation must be to be trained on.

The rules are those of OpenAI's chat format, read strictly: what a provider would refuse after an upload is refused
here. Two things are brought into one form: text parts become one text, and `developer` becomes `system`.
"""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.faults import Fault
from broker.jobs.datasets.jsontext import JsonFault, is_array, is_object, parse_json, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROLES = ("system", "user", "assistant", "tool")
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "weight")
_MEANT = {
    **dict.fromkeys(("human", "question"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "ai", "bot", "model", "answer"), "assistant"),
    "function": "tool",
    "instruction": "system",
}
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")


def read_messages(value: Any, place: str, faults: list[Fault]) -> list[dict[str, Any]]:
    """Return the messages of a list in canonical form.

    Args:
        value: What stands in the row.
        place: What the row calls it, as `messages` or `input.messages`.
        faults: Receives what is wrong.
    """
    if not is_array(value):
        faults.append(
            Fault(f"{place} is {shown(value)}, not a list", f'write "{place}": [{{"role": …, "content": …}}, …]')
        )
        return []
    if not value:
        faults.append(Fault(f"{place} is empty", "give at least one user and one assistant message"))
    return [_read_message(entry, f"{place}[{index}]", faults) for index, entry in enumerate(value)]


def _read_message(entry: Any, place: str, faults: list[Fault]) -> dict[str, Any]:
    if not is_object(entry):
        faults.append(Fault(f"{place} is {shown(entry)}, not an object", 'write {"role": …, "content": …}'))
        return {"role": "", "content": ""}
    role = _read_role(entry, place, faults)
    message: dict[str, Any] = {"role": role, "content": _read_content(entry, role, place, faults)}
    _check_keys(entry, place, faults)
    if entry.get("name") is not None:
        message["name"] = _read_name(entry["name"], f"{place}.name", faults)
    if entry.get("tool_calls") is not None:
        message["tool_calls"] = _read_tool_calls(entry["tool_calls"], role, f"{place}.tool_calls", faults)
    if role == "tool" or entry.get("tool_call_id") is not None:
        message["tool_call_id"] = _read_call_id(entry.get("tool_call_id"), role, f"{place}.tool_call_id", faults)
    if entry.get("weight") is not None:
        message["weight"] = _read_weight(entry["weight"], role, f"{place}.weight", faults)
    return message


def _read_role(entry: Mapping[str, Any], place: str, faults: list[Fault]) -> str:
    role = entry.get("role")
    if role == "developer":
        return "system"
    if isinstance(role, str) and role in ROLES:
        return sys.intern(role)
    if role is None:
        faults.append(Fault(f"{place} has no role", f'add "role": one of {", ".join(ROLES)}'))
        return ""
    near = _MEANT.get(str(role).lower()) or next(iter(get_close_matches(str(role).lower(), ROLES, n=1)), None)
    fix = f'write "{near}"' if near else f"write one of {', '.join(ROLES)}"
    faults.append(Fault(f"{place}.role is {shown(role)}, which is no known role", fix))
    return near or ""


def _check_keys(entry: Mapping[str, Any], place: str, faults: list[Fault]) -> None:
    for key, value in entry.items():
        if key in _KEYS or value is None or value == []:
            continue
        if key == "function_call":
            fix = 'write it as "tool_calls": [{"id": …, "type": "function", "function": {"name": …, "arguments": …}}]'
        elif key == "refusal":
            fix = 'write the refusal\'s words as "content"'
        else:
            near = get_close_matches(key, _KEYS, n=1)
            fix = (
                f'did you mean "{near[0]}"?'
                if near
                else "remove it, or put it beside messages, where it is kept as extra"
            )
        faults.append(Fault(f"{place} has an unknown key {shown(key)}: {shown(value)}", fix))


# --- content --------------------------------------------------------------------------------------------------------


def _read_content(entry: Mapping[str, Any], role: str, place: str, faults: list[Fault]) -> str | None:
    content = entry.get("content")
    calls = role == "assistant" and bool(entry.get("tool_calls"))
    before = len(faults)
    text = _joined(content, f"{place}.content", faults) if is_array(content) else content
    if isinstance(text, str):
        if calls and not text:
            return None
        if text.strip() or role == "tool":
            return sys.intern(text) if role == "system" else text
        if len(faults) == before:
            faults.append(
                Fault(f"{place}.content of the {role or 'unknown'} turn is empty ({shown(text)})", _fill(role))
            )
        return text
    if text is None:
        if not calls:
            found = "null" if "content" in entry else "missing"
            faults.append(Fault(f"{place}.content is {found}", _fill(role)))
        return None
    faults.append(Fault(f"{place}.content is {shown(text)}, not a text", f'write "content": "{str(text)[:20]}"'))
    return None


def _fill(role: str) -> str:
    if role == "assistant":
        return "write the answer, or give tool_calls; remove the row if there is no answer"
    return "write the text, or remove the message"


def _joined(parts: Sequence[Any], place: str, faults: list[Fault]) -> str:
    if not parts:
        faults.append(Fault(f"{place} is an empty list", "write the text"))
    return "".join(_part_text(part, f"{place}[{index}]", faults) for index, part in enumerate(parts))


def _part_text(part: Any, place: str, faults: list[Fault]) -> str:
    if is_object(part) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if is_object(part) else None
    if kind in ("image_url", "input_image", "image", "input_audio", "file", "video"):
        faults.append(
            Fault(f"{place} is a part of type {shown(kind)}; only text can be trained here", "remove the part")
        )
    else:
        faults.append(Fault(f"{place} is {shown(part)}, not a text part", 'write {"type": "text", "text": "…"}'))
    return ""


# --- the other keys -------------------------------------------------------------------------------------------------


def _read_name(name: Any, place: str, faults: list[Fault]) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(
            Fault(f"{place} is {shown(name)}", "write 1 to 64 characters without spaces or any of < | \\ / >")
        )
    return str(name)


def _read_weight(weight: Any, role: str, place: str, faults: list[Fault]) -> int:
    if role != "assistant":
        faults.append(
            Fault(f"{place} is given on the {role or 'unknown'} message", "only assistant messages have a weight")
        )
        return 1
    if isinstance(weight, bool) or weight not in (0, 1):
        faults.append(Fault(f"{place} is {shown(weight)}", "write 0 (not trained on) or 1 (trained on)"))
        return 1
    return int(weight)


def _read_call_id(value: Any, role: str, place: str, faults: list[Fault]) -> str:
    if role != "tool":
        faults.append(Fault(f"{place} is given on the {role or 'unknown'} message", "only tool messages answer a call"))
    elif not isinstance(value, str) or not value:
        found = "missing" if value is None else shown(value)
        faults.append(Fault(f"{place} is {found}", "write the id of the tool call that this message answers"))
    return str(value)


def _read_tool_calls(value: Any, role: str, place: str, faults: list[Fault]) -> list[dict[str, Any]]:
    if role != "assistant":
        faults.append(Fault(f"{place} is given on the {role or 'unknown'} message", "only the assistant calls tools"))
    if not is_array(value) or not value:
        faults.append(Fault(f"{place} is {shown(value)}, not a list of calls", "write a list, or remove the key"))
        return []
    calls = [_read_call(call, f"{place}[{index}]", faults) for index, call in enumerate(value)]
    ids = [call["id"] for call in calls]
    if len(set(ids)) != len(ids):
        faults.append(Fault(f"{place} uses one id twice ({shown(ids)})", "give each call an id of its own"))
    return calls


def _read_call(call: Any, place: str, faults: list[Fault]) -> dict[str, Any]:
    shape = '{"id": "call_1", "type": "function", "function": {"name": …, "arguments": "{…}"}}'
    function = call.get("function") if is_object(call) else None
    if not is_object(function):
        faults.append(Fault(f"{place} is {shown(call)}", f"write {shape}"))
        return {"id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}
    for key, found in (("id", call.get("id")), ("function.name", function.get("name"))):
        if not isinstance(found, str) or not found:
            faults.append(Fault(f"{place}.{key} is {shown(found)}", f"write {shape}"))
    if call.get("type", "function") != "function":
        faults.append(Fault(f"{place}.type is {shown(call['type'])}", 'write "function"'))
    _check_arguments(function.get("arguments"), f"{place}.function.arguments", faults)
    body = {"name": str(function.get("name")), "arguments": function.get("arguments")}
    return {"id": str(call.get("id")), "type": "function", "function": body}


def _check_arguments(arguments: Any, place: str, faults: list[Fault]) -> None:
    if not isinstance(arguments, str):
        faults.append(Fault(f"{place} is {shown(arguments)}, not a text", "write the arguments with json.dumps"))
        return
    try:
        parse_json(arguments)
    except JsonFault as fault:
        faults.append(Fault(f"{place} is no JSON: {fault.what}", "write the arguments with json.dumps"))
