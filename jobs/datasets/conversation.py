"""Whole conversations: the rules that no single message shows."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.faults import Fault
from broker.jobs.datasets.jsontext import is_array, is_object, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ONLY_ASKED = "rows without answers can be asked (--validation), not trained on"
_ADD = f"add the answer; {ONLY_ASKED}"
_END = f"end with the assistant's answer; {ONLY_ASKED}"


def check_conversation(messages: Sequence[Mapping[str, Any]], place: str, faults: list[Fault]) -> None:
    """Check that there is an answer to train on, at the end, to somebody's question.

    Args:
        messages: Canonical messages.
        place: What the row calls them.
        faults: Receives what is wrong.
    """
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        faults.append(Fault(f"{place} has no assistant turn (roles: {', '.join(roles)})", _ADD))
        return
    if roles[-1] != "assistant":
        faults.append(Fault(f"the last message is a {roles[-1] or 'unknown'} turn", _END))
    last = len(roles) - 1 - roles[::-1].index("assistant")
    if "user" not in roles[:last]:
        faults.append(Fault(f"{place} has no user turn before the answer", "add the question"))
    answers = [message for message in messages if message["role"] == "assistant"]
    if all(message.get("weight") == 0 for message in answers):
        faults.append(Fault(f"all {len(answers)} assistant turns have weight 0", "give at least one of them weight 1"))


def check_prompt(messages: Sequence[Mapping[str, Any]], place: str, faults: list[Fault]) -> None:
    """Check that a preference row's prompt waits for an answer.

    Args:
        messages: Canonical messages.
        place: What the row calls them.
        faults: Receives what is wrong.
    """
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        faults.append(Fault(f"{place} has no user turn (roles: {', '.join(roles)})", "add the question"))
    elif roles[-1] not in ("user", "tool"):
        faults.append(Fault(f"{place} ends with the {roles[-1] or 'unknown'} turn", "end with the user's question"))


def check_calls(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], faults: list[Fault]) -> None:
    """Check that tool messages answer calls that were made, and that calls name tools that exist.

    Args:
        messages: Canonical messages.
        tools: Canonical tools; none means that names cannot be checked.
        faults: Receives what is wrong.
    """
    known = [str(tool["function"]["name"]) for tool in tools]
    made: set[str] = set()
    for index, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            made.add(call["id"])
            name = str(call["function"]["name"])
            if known and name not in known:
                near = get_close_matches(name, known, n=1)
                fix = f"did you mean {near[0]}?" if near else f"the row's tools are {', '.join(known)}"
                faults.append(
                    Fault(f"message {index} calls the tool {shown(name)}, which the row does not define", fix)
                )
        answered = message.get("tool_call_id")
        if message["role"] == "tool" and isinstance(answered, str) and answered and answered not in made:
            fix = f"the calls so far are {', '.join(sorted(made))}" if made else "no call was made before it"
            faults.append(Fault(f"message {index} answers the call {shown(answered)}, which nobody made", fix))


def read_tools(row: Mapping[str, Any], place: str, faults: list[Fault]) -> list[Mapping[str, Any]]:
    """Return the tool definitions of a row.

    Args:
        row: The object that may hold `tools`.
        place: Prefix of the place, as `input.` or nothing.
        faults: Receives what is wrong.
    """
    if row.get("functions") is not None:
        faults.append(
            Fault(f"{place}functions is the old form", 'write "tools": [{"type": "function", "function": {…}}]')
        )
    value = row.get("tools")
    if value is None:
        return []
    if not is_array(value):
        faults.append(Fault(f"{place}tools is {shown(value)}, not a list", 'write "tools": [{"type": "function", …}]'))
        return []
    tools = [tool for index, tool in enumerate(value) if _tool_holds(tool, f"{place}tools[{index}]", faults)]
    names = [tool["function"]["name"] for tool in tools]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(Fault(f"{place}tools defines {shown(name)} twice", "keep one of them"))
    return tools


def _tool_holds(tool: Any, place: str, faults: list[Fault]) -> bool:
    shape = '{"type": "function", "function": {"name": "…", "parameters": {…}}}'
    function = tool.get("function") if is_object(tool) else None
    if not is_object(function) or tool.get("type") != "function":
        faults.append(Fault(f"{place} is {shown(tool)}", f"write {shape}"))
        return False
    if not isinstance(function.get("name"), str) or not function["name"]:
        faults.append(Fault(f"{place}.function.name is {shown(function.get('name'))}", f"write {shape}"))
        return False
    if not is_object(function.get("parameters", {})):
        faults.append(Fault(f"{place}.function.parameters is {shown(function['parameters'])}", "write a JSON schema"))
        return False
    return True


def read_parallel(row: Mapping[str, Any], place: str, faults: list[Fault]) -> bool | None:
    """Return `parallel_tool_calls` of a row.

    Args:
        row: The object that may hold it.
        place: Prefix of the place, as `input.` or nothing.
        faults: Receives what is wrong.
    """
    value = row.get("parallel_tool_calls")
    if value is None or isinstance(value, bool):
        return value
    faults.append(Fault(f"{place}parallel_tool_calls is {shown(value)}", "write true or false"))
    return None
