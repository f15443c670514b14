"""What an answer is worth: usable, worth another try, or the end of its row. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.jsontext import JsonFault, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.providers.contract import Answer

_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
# Asking again with another seed mends these; a prompt that is blocked stays blocked, and so does unsafe content.
_HOPELESS = frozenset({"blocked", "safety", "prohibited_content", "blocklist", "spii", "content_filter", "refusal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in an answer.

    Attributes:
        value: What can be used: the text, or the JSON value where a schema was asked for; None when nothing can.
        reason: Why not: a short word by which rejections are counted.
        detail: What was found, for people.
        again: Another try may help.
    """

    value: Any = None
    reason: str = ""
    detail: str = ""
    again: bool = False


def read_answer(answer: Answer, schema: Mapping[str, Any] | None) -> Finding:
    """Read an answer.

    Args:
        answer: What came.
        schema: What it must fit, if anything.
    """
    if answer.failure is not None:
        ended = "empty" if answer.failure.startswith("empty") else "error"
        reason = ended if answer.finish_reason == "stop" else answer.finish_reason
        return Finding(reason=reason, detail=answer.failure, again=reason not in _HOPELESS)
    if answer.finish_reason in _HOPELESS:
        return Finding(reason=answer.finish_reason, detail="the provider ended the answer")
    text = answer.text.strip()
    if not text:
        return Finding(reason="empty", detail=f"an answer without text ({answer.finish_reason})", again=True)
    found = _whole(answer, text) if schema is None else _json(text, schema)
    if not found.reason or answer.finish_reason != "length":
        return found
    return Finding(reason="length", detail=f"cut off after {answer.output_tokens} tokens: {found.detail}", again=True)


def _whole(answer: Answer, text: str) -> Finding:
    if answer.finish_reason == "length":
        return Finding(reason="length", detail="the text has no end", again=True)
    try:
        return Finding(value=_strict(text))
    except JsonFault as fault:
        return Finding(reason="malformed", detail=fault.what, again=True)


def _json(text: str, schema: Mapping[str, Any]) -> Finding:
    value, fault = _parsed(text)
    if not fault:
        fault = _misfit(value, schema)
    return Finding(reason="malformed", detail=fault, again=True) if fault else Finding(value=value)


def _parsed(text: str) -> tuple[Any, str]:
    """Return the JSON value, mended where only its wrapping is wrong, or what is wrong."""
    fenced = _FENCE.match(text)
    bare = fenced[1] if fenced else text
    try:
        return _strict(json.loads(bare)), ""
    except ValueError as fault:
        inner = bare[bare.find("{") : bare.rfind("}") + 1]
        try:
            return _strict(json.loads(inner)), ""
        except ValueError:
            return None, f"no usable JSON ({fault}): {_shortened(text)}"


def _strict(value: Any) -> Any:
    """Return a value that can be written and read again.

    Raises:
        JsonFault: It holds half a character, U+0000, NaN or the like.
    """
    return parse_json(json.dumps(value))


def _misfit(value: Any, schema: Mapping[str, Any]) -> str:
    """Return where a value departs from the schema; an empty text says nothing, so it does not fit either."""
    from jsonschema import Draft202012Validator

    validator: Any = Draft202012Validator(dict(schema))
    fault = next(iter(validator.iter_errors(value)), None)
    if fault is not None:
        place = "/".join(str(part) for part in fault.absolute_path) or "the answer"
        return f"{place}: {_shortened(fault.message)}"
    empty = [name for name in schema.get("required", ()) if isinstance(value[name], str) and not value[name].strip()]
    return f"{', '.join(empty)} is empty" if empty else ""


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"
