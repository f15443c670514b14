"""The rows of the catalog, and how they are read from TOML. Pure."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PER_MILLION = 1_000_000


class Use(StrEnum):
    """What a price is for."""

    TRAINING = "training"
    BASE = "base"
    BASE_BATCH = "base_batch"
    TUNED = "tuned"
    TUNED_BATCH = "tuned_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known about a model.

    Attributes:
        kind: Kind of provider that serves it (`openai`, `gemini`, `local`).
        name: The exact snapshot, hub id or name.
        source: Where the row was read.
        as_of: When it was read.
        aliases: Names that stand for it at present.
        default: Used when a person names no model.
        tunable: Its provider tunes it, or did.
        max_row_tokens: Longest training row; longer ones are cut by the provider.
        shutdown: First day on which it may answer no more.
        successors: What to use instead: at the same provider, or an open model for a gated one.
        gated: Its weights need an accepted licence and a token.
        license: Licence of its weights.
        parameters: Number of weights.
        note: What a person should know.
    """

    kind: str
    name: str
    source: str
    as_of: date
    aliases: tuple[str, ...] = ()
    default: bool = False
    tunable: bool = False
    max_row_tokens: int | None = None
    shutdown: date | None = None
    successors: tuple[str, ...] = ()
    gated: bool = False
    license: str = ""
    parameters: int | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Return what a row of the same meaning shares."""
        return (self.kind, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One price row, USD per million tokens.

    Attributes:
        kind: Kind of provider.
        model: The exact snapshot.
        use: What it is for.
        source: Where it was read.
        as_of: When it was read.
        input: Tokens of a prompt.
        cached_input: Tokens of a prompt that the provider has seen before; as `input` when None.
        output: Tokens of an answer.
        training: Trained tokens (rows × epochs).
    """

    kind: str
    model: str
    use: Use
    source: str
    as_of: date
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    training: float | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Return what a row of the same meaning shares."""
        return (self.kind, self.model, self.use)

    def __str__(self) -> str:
        """Return the row as one line for people."""
        parts = {"training": self.training, "input": self.input, "output": self.output}
        rates = ", ".join(f"{name} {value:g}" for name, value in parts.items() if value is not None)
        return f"{self.model} ({self.use}): {rates} USD per 1M tokens [{self.source}, {self.as_of}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a service said it will do on a day.

    Attributes:
        id: A stable word, so that a person's own row can replace it.
        kind: Kind of provider.
        work: The work concerned: `tuning` or `answering`.
        on: From this day.
        what: What happens.
        source: Where it was read.
        as_of: When it was read.
        closes: Nobody gets this service from that day on.
        fix: What to do instead.
    """

    id: str
    kind: str
    work: str
    on: date
    what: str
    source: str
    as_of: date
    closes: bool = False
    fix: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Return what a row of the same meaning shares."""
        return (self.id,)


Row = TypeVar("Row", bound=ModelFacts | Price | Announcement)
_SHAPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "date": (date,),
    "bool": (bool,),
    "int | None": (int,),
    "float | None": (int, float),
    "date | None": (date,),
    "tuple[str, ...]": (list,),
    "Use": (str,),
}


def read_rows(row: type[Row], table: str, found: object, where: str) -> tuple[list[Row], list[Problem]]:
    """Turn the tables of one kind into rows.

    Args:
        row: What to build.
        table: Its name in the file.
        found: What the file holds under that name.
        where: The file, for messages.

    Returns:
        The good rows, and one problem for each thing that is wrong with the others.
    """
    if not isinstance(found, list):
        fix = f"begin each row with [[{table}]]"
        return [], [Problem(where=where, what=f"{table!r} is no list of tables", fix=fix)]
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, values in enumerate(cast("Sequence[object]", found), start=1):
        place = f"{where} [[{table}]] {number}"
        wrong = list(_problems(row, values, place))
        problems += wrong
        if not wrong:
            rows.append(row(**_typed(row, values)))
    return rows, problems


def _problems(row: type[Row], values: object, place: str) -> Iterator[Problem]:
    if not isinstance(values, dict):
        yield Problem(where=place, what="is no table")
        return
    given = cast("dict[str, Any]", values)
    shapes = {field.name: str(field.type) for field in fields(row)}
    for name in given:
        if name not in shapes:
            near = get_close_matches(name, shapes, n=1)
            fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(shapes)}"
            yield Problem(where=place, what=f"unknown key {name!r}", fix=fix)
    for field in fields(row):
        value = given.get(field.name)
        if value is None:
            if field.default is MISSING:
                yield Problem(where=place, what=f"{field.name!r} is missing", fix=_why(field.name))
        elif not _fits(value, str(field.type)):
            yield Problem(where=place, what=f"{field.name} = {value!r} does not fit ({field.type})")


def _why(name: str) -> str:
    return "every row says where and when it was read" if name in {"source", "as_of"} else f"add {name} = ..."


def _fits(value: Any, shape: str) -> bool:
    right_type = isinstance(value, _SHAPES[shape]) and isinstance(value, bool) == (shape == "bool")
    return right_type and _allowed(value, shape)


def _allowed(value: Any, shape: str) -> bool:
    match shape:
        case "Use":
            return value in {use.value for use in Use}
        case "float | None":
            return bool(value >= 0)
        case "tuple[str, ...]":
            return all(isinstance(word, str) for word in value)
        case _:
            return not isinstance(value, datetime)  # a date with a time cannot be compared with a day


def _typed(row: type[Row], values: Any) -> dict[str, Any]:
    shapes = {field.name: str(field.type) for field in fields(row)}
    return {name: _value(value, shapes[name]) for name, value in values.items()}


def _value(value: Any, shape: str) -> Any:
    match shape:
        case "tuple[str, ...]":
            return tuple(value)
        case "Use":
            return Use(value)
        case _:
            return value


def laid_over(under: Iterable[Row], over: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows of both; one of `over` replaces the one with its key.

    Args:
        under: The catalog's own rows.
        over: A person's rows.
    """
    rows: dict[tuple[str, ...], Row] = {row.key: row for row in (*under, *over)}
    return tuple(rows.values())
