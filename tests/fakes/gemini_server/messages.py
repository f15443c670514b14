"""The API's request messages, and the check that a body is one: what protobuf's JSON does, no more lenient."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tests.fakes.gemini_server.errors import Refusal, bad_value, out_of_place, unknown_field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INT32 = 2**31
_ROLES = {"", "user", "model", "function"}
_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH")
_THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH",
    "BLOCK_NONE", "OFF",
)  # fmt: skip
_MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")


@dataclass(frozen=True, slots=True)
class Many:
    """A repeated field."""

    of: Any


@dataclass(frozen=True, slots=True)
class OneOf:
    """An enum."""

    words: tuple[str, ...]


THINKING = {"includeThoughts": "bool", "thinkingBudget": "int", "thinkingLevel": OneOf(_LEVELS)}
PART: dict[str, Any] = {
    "text": "string",
    "thought": "bool",
    "thoughtSignature": "bytes",
    "inlineData": {"mimeType": "string", "data": "bytes"},
    "fileData": {"mimeType": "string", "fileUri": "string"},
    "functionCall": {"id": "string", "name": "string", "args": "struct"},
    "functionResponse": {"id": "string", "name": "string", "response": "struct"},
    "partMetadata": "struct",
}
CONTENT = {"role": "string", "parts": Many(PART)}
GENERATION: dict[str, Any] = {
    "candidateCount": "int",
    "stopSequences": Many("string"),
    "maxOutputTokens": "int",
    "temperature": "number",
    "topP": "number",
    "topK": "int",
    "seed": "int",
    "responseMimeType": "string",
    "responseSchema": "struct",
    "responseJsonSchema": "value",
    "presencePenalty": "number",
    "frequencyPenalty": "number",
    "responseLogprobs": "bool",
    "logprobs": "int",
    "responseModalities": Many(OneOf(_MODALITIES)),
    "thinkingConfig": THINKING,
}
GENERATE: dict[str, Any] = {
    "model": "string",
    "systemInstruction": CONTENT,
    "contents": Many(CONTENT),
    "tools": Many("struct"),
    "toolConfig": "struct",
    "safetySettings": Many({"category": "string", "threshold": OneOf(_THRESHOLDS)}),
    "generationConfig": GENERATION,
    "cachedContent": "string",
}
INLINED = {"request": GENERATE, "metadata": "struct"}
BATCH = {
    "model": "string",
    "displayName": "string",
    "inputConfig": {"fileName": "string", "requests": {"requests": Many(INLINED)}},
    "priority": "int",
}
CREATE_BATCH = {"batch": BATCH}
FILE = {
    "file": {
        "name": "string", "displayName": "string", "mimeType": "string", "sizeBytes": "int", "source": "string",
    }
}  # fmt: skip
FILE_ROW = {"key": "string", "request": GENERATE}

_SIMPLE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("TYPE_STRING", lambda value: isinstance(value, str)),
    "bool": ("TYPE_BOOL", lambda value: isinstance(value, bool)),
    "int": ("TYPE_INT32", lambda value: _is_int(value)),
    "number": ("TYPE_FLOAT", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "struct": ("type.googleapis.com/google.protobuf.Struct", lambda value: isinstance(value, dict)),
    "value": ("type.googleapis.com/google.protobuf.Value", lambda _value: True),
    "bytes": ("TYPE_BYTES", lambda value: _is_base64(value)),
}


def checked(value: Any, shape: Any, place: str = "") -> Any:
    """Return a body with its field names in camel case.

    Raises:
        Refusal: A field that the message does not have, or a value of the wrong type.
    """
    match shape:
        case str():
            kind, fits = _SIMPLE[shape]
            if not fits(value):
                raise bad_value(place, kind, value)
            return value
        case OneOf():
            if value not in shape.words:
                raise bad_value(place, "TYPE_ENUM", value)
            return value
        case Many():
            if not isinstance(value, list):
                raise bad_value(place, "TYPE_MESSAGE", value)
            items: list[Any] = value
            return [checked(item, shape.of, f"{place}[{index}]") for index, item in enumerate(items)]
        case _:
            return _message(value, shape, place)


def _message(value: Any, shape: Mapping[str, Any], place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_value(place, "TYPE_MESSAGE", value)
    found: dict[str, Any] = {}
    for name, inner in cast("dict[str, Any]", value).items():
        known = _camel(name)
        if known not in shape:
            raise unknown_field(name, place)
        if known in found:
            raise Refusal(400, f"Invalid JSON payload received. Duplicate field '{known}' at '{place}'.")
        if inner is not None:  # protobuf's JSON: null is "not set"
            found[known] = checked(inner, shape[known], f"{place}.{_snake(known)}".lstrip("."))
    return found


def checked_request(value: Any, place: str = "") -> dict[str, Any]:
    """Return the body of a `generateContent`, in camel case, checked for sense too.

    Raises:
        Refusal: 400, as Google would say it.
    """
    request: dict[str, Any] = checked(value, GENERATE, place)
    if not request.get("contents"):
        raise out_of_place("contents", "contents is not specified")
    for index, content in enumerate(request["contents"]):
        _check_content(content, f"contents[{index}]")
    if "systemInstruction" in request:
        _check_content(request["systemInstruction"], "system_instruction")
    _check_generation(request.get("generationConfig", {}))
    return request


def _check_content(content: dict[str, Any], place: str) -> None:
    if content.get("role", "") not in _ROLES:
        raise Refusal(400, "Please use a valid role: user, model.")
    if not content.get("parts"):
        raise out_of_place(f"{place}.parts", "contents.parts must not be empty.")
    kinds = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
    for index, part in enumerate(content["parts"]):
        if len(kinds & set(part)) != 1:
            raise out_of_place(f"{place}.parts[{index}].data", "required oneof field 'data' must have one initialized")


def _check_generation(config: dict[str, Any]) -> None:
    bounds = {"temperature": (0, 2), "topP": (0, 1), "maxOutputTokens": (1, 65536), "candidateCount": (1, 8)}
    for name, (low, high) in bounds.items():
        if name in config and not low <= config[name] <= high:
            raise out_of_place(f"generation_config.{_snake(name)}", f"must be in the range [{low}, {high}].")
    if len(config.get("stopSequences", ())) > 5 or "" in config.get("stopSequences", ()):
        raise out_of_place("generation_config.stop_sequences", "up to 5 sequences, none of them empty.")
    if "responseJsonSchema" in config and "responseSchema" in config:
        raise Refusal(400, "Only one of response_schema and response_json_schema may be set.")
    formed = "responseJsonSchema" in config or "responseSchema" in config
    if formed and config.get("responseMimeType") not in {"application/json", "text/x.enum"}:
        said = "Function calling config is set without response mime type: 'application/json' is needed for a schema"
        raise Refusal(400, said)
    if config.get("responseMimeType", "text/plain") not in {"text/plain", "application/json", "text/x.enum"}:
        raise out_of_place("generation_config.response_mime_type", "allowed mimetypes are `text/plain`, …")


def _is_int(value: Any) -> bool:
    if isinstance(value, str):  # protobuf's JSON takes quoted numbers
        return re.fullmatch(r"-?\d+", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and -_INT32 <= value < _INT32


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=False)
    except (TypeError, ValueError, binascii.Error):
        return False
    return isinstance(value, str)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
