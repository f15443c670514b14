"""A JSON schema as Gemini takes it: the documented part of the language, and no word beyond it. Pure.

What is left out narrows the answers no more; whoever asked for the schema checks the answer by the whole of it. The
words are those of `GenerationConfig.responseJsonSchema` in Google's reference (read on 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from broker.providers.foreign_json import Item, entries, fields

KEYWORDS = frozenset(
    {
        "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
        "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties",
        "required", "propertyOrdering",
    }
)  # fmt: skip
_NAMED = frozenset({"$defs", "properties"})
_LISTS = frozenset({"prefixItems", "anyOf", "oneOf"})
_INNER = frozenset({"items", "additionalProperties"})
_ABOUT = frozenset({"title", "description", "$defs"})


def narrowed(schema: Mapping[str, Any]) -> Item:
    """Return a schema without what Gemini does not know.

    Args:
        schema: Any JSON schema.
    """
    told = _translated(schema)
    if "$ref" in told:  # beside a reference only words with a dollar may stand
        told = {word: value for word, value in told.items() if word.startswith("$")}
    sent = {word: _value(word, value) for word, value in told.items() if word in KEYWORDS and _sent(word, value)}
    if "required" in sent:
        sent["required"] = [name for name in entries(sent["required"]) if name in fields(sent.get("properties"))]
    return sent


def _translated(schema: Mapping[str, Any]) -> Item:
    """Return a schema with other words for what Gemini knows by its own."""
    told = dict(schema)
    if "const" in told:
        told.setdefault("enum", [told["const"]])
    if "definitions" in told:
        told["$defs"] = {**fields(told["definitions"]), **fields(told.get("$defs"))}
    if isinstance(told.get("$ref"), str):
        told["$ref"] = told["$ref"].replace("#/definitions/", "#/$defs/")
    only = entries(told.get("allOf"))
    if len(only) == 1 and KEYWORDS.isdisjoint(set(told) - _ABOUT):
        return _translated({**{word: told[word] for word in _ABOUT & set(told)}, **fields(only[0])})
    return told


def _sent(word: str, value: object) -> bool:
    if word == "enum":  # of texts and numbers alone
        return all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in entries(value))
    return True


def _value(word: str, value: Any) -> Any:
    if word in _NAMED:
        return {name: _inner(part) for name, part in fields(value).items()}
    if word in _LISTS:
        return [_inner(part) for part in entries(value)]
    return _inner(value) if word in _INNER else value


def _inner(part: object) -> Any:
    return narrowed(cast("Item", part)) if isinstance(part, Mapping) else part
