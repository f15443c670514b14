"""What the server says when nothing goes wrong: an echo of the prompt, in the form that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# A plain function of the request (camel case, with its `model`): the text, or the object that is the text as JSON.
Answering = Callable[[dict[str, Any]], "str | dict[str, Any]"]
_TOKEN_LENGTH = 4


def echo(request: dict[str, Any]) -> str | dict[str, Any]:
    """Answer a prompt with itself, so that a lost or mixed-up answer shows."""
    text = f"answer to {prompt_of(request)}"
    schema = request.get("generationConfig", {}).get("responseJsonSchema")
    return text if schema is None else json.dumps(example(schema, text), ensure_ascii=False)


def prompt_of(request: dict[str, Any]) -> str:
    """Return the text of the last turn."""
    return text_of(request["contents"][-1])


def text_of(content: dict[str, Any]) -> str:
    """Return the text of a turn."""
    return "".join(part.get("text", "") for part in content.get("parts", []))


def tokens_of(request: dict[str, Any]) -> int:
    """Return the tokens of a prompt, roughly."""
    contents = [*request["contents"], *([request["systemInstruction"]] if "systemInstruction" in request else [])]
    return sum(counted(text_of(content)) for content in contents)


def counted(text: str) -> int:
    """Return the tokens of a text, roughly; none for no text."""
    return -(-len(text) // _TOKEN_LENGTH)


def example(schema: dict[str, Any], text: str, root: dict[str, Any] | None = None) -> Any:
    """Return the smallest value that a JSON schema takes, with `text` in its texts."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(_pointed(root, schema["$ref"]), text, root)
    for words in ("const", "enum"):
        if words in schema:
            return schema[words] if words == "const" else schema[words][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example(schema[choice][0], text, root)
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties: dict[str, Any] = schema.get("properties", {})
            return {name: example(part, text, root) for name, part in properties.items()}
        case "array":
            return [example(schema.get("items", {}), text, root) for _ in range(int(schema.get("minItems", 1)))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text[: int(schema.get("maxLength", len(text)))]


def _pointed(root: dict[str, Any], pointer: str) -> dict[str, Any]:
    found = root
    for name in pointer.removeprefix("#/").split("/"):
        found = found[name]
    return found
