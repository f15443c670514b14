"""Makes an answer fit a JSON schema, in OpenAPI's spelling (`"STRING"`) or JSON Schema's own (`"string"`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.jsontext import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEEPEST = 12


def fit(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value that fits a schema, made of what the given value has.

    A property that the value lacks is taken from wherever in the value one of its name stands, else it is the plainest
    value of its type. Properties that the schema does not name are left out. Knows `type`, `nullable`, `enum`, `const`,
    `properties`, `required`, `items`, `anyOf`, `oneOf`, `allOf`, local `$ref`, and the bounds of arrays, strings and
    numbers; not `pattern` or `format`.

    Args:
        value: What the writer has to say.
        schema: What it must look like.
    """
    return _Fitting(schema, _by_name(value)).fit(value, schema, 0)


def _by_name(value: Any) -> dict[str, Any]:
    """Return everything that has a name inside a value, outer things before inner ones."""
    found: dict[str, Any] = {}
    level: list[Any] = [value]
    while level:
        inner: list[Any] = []
        for one in level:
            if is_object(one):
                for key, item in one.items():
                    found.setdefault(key, item)
                    inner.append(item)
            elif is_array(one):
                inner += one
        level = inner
    return found


class _Fitting:
    """One schema and what is known by name."""

    def __init__(self, root: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        self._root = root
        self._known = known

    def fit(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema or depth > _DEEPEST:
            return schema.get("const")
        if schema.get("enum"):
            return _chosen(value, schema["enum"])
        choices: list[Mapping[str, Any]] = schema.get("anyOf") or schema.get("oneOf") or []
        if choices:
            return self.fit(value, self._best(value, choices), depth + 1)
        kind = _kind(schema, value)
        if kind == "object":
            return self._object(value, schema, depth)
        if kind == "array":
            return self._array(value, schema, depth)
        scalar = _SCALARS.get(kind)
        return scalar(value, schema) if scalar else value

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a schema with its `$ref` and `allOf` put in."""
        found: Any = schema
        if "$ref" in schema:
            found = self._root
            for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
                found = found.get(part, {}) if part else found
        merged: dict[str, Any] = dict(found)
        for part in merged.pop("allOf", ()):
            inner = self._resolved(part)
            properties = {**merged.get("properties", {}), **inner.get("properties", {})}
            merged = {**merged, **inner, "properties": properties}
        return merged

    def _best(self, value: Any, choices: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        resolved = [self._resolved(choice) for choice in choices]
        return next((one for one in resolved if _kind(one, value) == _kind_of(value)), resolved[0])

    def _object(self, value: Any, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        given = value if is_object(value) else {}
        properties: dict[str, Any] = schema.get("properties") or {}
        if not properties:
            return given
        wanted = schema.get("required") or list(properties)
        made: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in given or name in self._known or name in wanted:
                made[name] = self.fit(given.get(name, self._known.get(name)), inner, depth + 1)
        return made

    def _array(self, value: Any, schema: Mapping[str, Any], depth: int) -> list[Any]:
        given = _parts(value, schema)
        items: Mapping[str, Any] = schema.get("items") or {}
        least, most = int(schema.get("minItems") or 0), int(schema.get("maxItems") or len(given))
        kept = given[: max(most, least)]
        kept += [kept[index % len(kept)] if kept else None for index in range(least - len(kept))]
        return [self.fit(one, items, depth + 1) for one in kept]


def _parts(value: Any, schema: Mapping[str, Any]) -> list[Any]:
    """Make a list of a value: of a text with commas its parts, where texts are wanted."""
    if value is None:
        return []
    if is_array(value):
        return list(value)
    items: Mapping[str, Any] = schema.get("items") or {}
    wants_texts = str(items.get("type", "")).lower() == "string"
    return [part.strip() for part in value.split(",")] if wants_texts and isinstance(value, str) else [value]


def _kind(schema: Mapping[str, Any], value: Any) -> str:
    named: Any = schema.get("type")
    kinds = [str(kind).lower() for kind in (named if is_array(named) else [named] if named else [])]
    if _kind_of(value) in kinds:
        return _kind_of(value)
    if value is None and schema.get("nullable"):
        return "null"
    if kinds:
        return kinds[0]
    return "object" if schema.get("properties") else "array" if schema.get("items") else ""


def _kind_of(value: Any) -> str:
    kinds: tuple[tuple[type[object], str], ...] = (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object"), (list, "array"),
    )  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _chosen(value: Any, choices: list[Any]) -> Any:
    same = [choice for choice in choices if str(choice).casefold() == str(value).casefold()]
    return (same or choices)[0]


def _text(value: Any, schema: Mapping[str, Any]) -> str:
    told = ", ".join(str(one) for one in value) if is_array(value) else "" if value is None else str(value)
    told += "." * (int(schema.get("minLength") or 0) - len(told))
    return told[: int(schema["maxLength"])] if schema.get("maxLength") is not None else told


def _number(value: Any, schema: Mapping[str, Any]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    low, high = schema.get("minimum"), schema.get("maximum")
    number = number if low is None else max(number, float(low))
    return number if high is None else min(number, float(high))


def _whole(value: Any, schema: Mapping[str, Any]) -> int:
    return round(_number(value, schema))


def _truth(value: Any, _schema: Mapping[str, Any]) -> bool:
    return str(value).lower() == "true"


def _nothing(_value: Any, _schema: Mapping[str, Any]) -> None:
    return None


_SCALARS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "string": _text,
    "number": _number,
    "integer": _whole,
    "boolean": _truth,
    "null": _nothing,
}
