"""Bodies to values; what does not fit becomes OpenAI's error object about the first parameter that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.server.errors import ApiError, invalid
from broker.server.jsonbody import kind_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sized

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
_SHOWN = 100


class Body(BaseModel):
    """A request body: no unknown parameter, and no number in a text's clothes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def validated(kind: type[M], data: Mapping[str, Any]) -> M:
    """Build a body from JSON data.

    Args:
        kind: The body's class.
        data: The parsed object.

    Raises:
        ApiError: 400 about the first thing that does not fit.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _api_error(error.errors(include_url=False)[0]) from None


def param_path(location: tuple[int | str, ...]) -> str:
    """Return a place in a body as OpenAI writes it: `messages[0].role`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _api_error(error: ErrorDetails) -> ApiError:
    param = param_path(error["loc"])
    make = _BY_TYPE.get(error["type"], _other)
    code, message = make(param, error)
    return invalid(message, param=param or None, code=code)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _unknown(param: str, error: ErrorDetails) -> tuple[str, str]:
    del error
    return "unknown_parameter", f"Unknown parameter: '{param}'."


def _missing(param: str, error: ErrorDetails) -> tuple[str, str]:
    del error
    return "missing_required_parameter", f"Missing required parameter: '{param}'."


def _wrong_type(wanted: str) -> Callable[[str, ErrorDetails], tuple[str, str]]:
    def make(param: str, error: ErrorDetails) -> tuple[str, str]:
        got = kind_name(error["input"])
        return "invalid_type", f"Invalid type for '{param}': expected {wanted}, but got {got} instead."

    return make


def _choice(param: str, error: ErrorDetails) -> tuple[str, str]:
    del param
    wanted = error.get("ctx", {}).get("expected", "")
    return "invalid_value", f"Invalid value: {_shown(error['input'])}. Supported values are: {wanted}."


def _bound(param: str, error: ErrorDetails) -> tuple[str, str]:
    number = "integer" if isinstance(error["input"], int) else "decimal"
    side, key = _BOUNDS[error["type"]]
    limit = error.get("ctx", {}).get(key)
    code = f"{number}_{'below_min' if side.startswith('>') else 'above_max'}_value"
    return code, f"Invalid '{param}': expected a value {side} {limit}, but got {_shown(error['input'])} instead."


def _length(param: str, error: ErrorDetails) -> tuple[str, str]:
    thing = "string" if error["type"].startswith("string") else "array"
    short = error["type"].endswith("too_short")
    context = error.get("ctx", {})
    limit = context.get("min_length" if short else "max_length")
    code = f"{thing}_{'below_min' if short else 'above_max'}_length"
    few = "at least" if short else "at most"
    unit = "characters" if thing == "string" else "items"
    return code, f"Invalid '{param}': expected {few} {limit} {unit}, but got {_count(error['input'])} instead."


def _count(value: Any) -> str:
    return str(len(cast("Sized", value))) if isinstance(value, str | list | dict) else _shown(value)


def _other(param: str, error: ErrorDetails) -> tuple[str, str]:
    said = error["msg"].removeprefix("Value error, ")
    return "invalid_value", f"Invalid '{param}': {said}" if param else said


_BOUNDS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}
_BY_TYPE: dict[str, Callable[[str, ErrorDetails], tuple[str, str]]] = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "literal_error": _choice,
    "string_type": _wrong_type("a string"),
    "int_type": _wrong_type("an integer"),
    "int_from_float": _wrong_type("an integer"),
    "float_type": _wrong_type("a decimal"),
    "bool_type": _wrong_type("a boolean"),
    "list_type": _wrong_type("an array"),
    "dict_type": _wrong_type("an object"),
    "model_type": _wrong_type("an object"),
    "model_attributes_type": _wrong_type("an object"),
    "string_too_short": _length,
    "string_too_long": _length,
    "too_short": _length,
    "too_long": _length,
    **dict.fromkeys(_BOUNDS, _bound),
}
