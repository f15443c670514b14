"""The instructions of a validation row, read from its keys `instruction_id_list` and `kwargs`.

```
{"prompt": "…", "instruction_id_list": ["punctuation:no_comma", …], "kwargs": [{}, {"num_words": 300, …}]}
```

The published checkers draw at random what an argument leaves out; here such a row is refused, for its score would be
chance. Arguments that are null count as absent (a copy of the prompts on the Hugging Face hub fills them all in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from broker.errors import DataError, Problem
from broker.evaluation.ifeval.checkers import CHECKERS, Checker

IDS = "instruction_id_list"
ARGUMENTS = "kwargs"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a prompt.

    Attributes:
        id: Key of `CHECKERS`.
        arguments: For its checker, as pairs; lists are tuples, so that equal instructions are equal keys.
    """

    id: str
    arguments: tuple[tuple[str, Any], ...] = ()


def read_instructions(row: Mapping[str, Any]) -> tuple[Instruction, ...]:
    """Return the instructions of a row.

    Args:
        row: The row's keys beside its messages.

    Raises:
        DataError: There are none, or some are unknown, or their arguments are; all problems at once.
    """
    ids, arguments = _listed(row.get(IDS)), _listed(row.get(ARGUMENTS))
    if not ids:
        raise DataError([Problem(where=IDS, what="missing: nothing says what to check", fix=f'"{IDS}": ["…", …]')])
    if len(arguments) != len(ids):
        what = f"not a list of {len(ids)}, one object for each instruction"
        raise DataError([Problem(where=ARGUMENTS, what=what, fix="write {} where an instruction needs none")])
    problems: list[Problem] = []
    read = [_instruction(id_, given, problems) for id_, given in zip(ids, arguments, strict=True)]
    if problems:
        raise DataError(problems)
    return tuple(read)


def _listed(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _instruction(id_: object, given: object, problems: list[Problem]) -> Instruction:
    checker = CHECKERS.get(id_) if isinstance(id_, str) else None
    if checker is None:
        near = get_close_matches(str(id_), CHECKERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(CHECKERS)}"
        problems.append(Problem(where=IDS, what=f"no instruction is called {id_!r}", fix=hint))
        return Instruction(str(id_))
    if given is not None and not isinstance(given, Mapping):
        problems.append(Problem(where=f"{ARGUMENTS} of {id_}", what=f"{given!r} is no object", fix="write {…}"))
        return Instruction(str(id_))
    named = cast("Mapping[object, object]", given or {})
    present = {str(key): _plain(value) for key, value in named.items() if value is not None}
    problems += _misfits(str(id_), checker, present)
    return Instruction(str(id_), tuple(sorted(present.items())))


def _misfits(id_: str, checker: Checker, given: Mapping[str, object]) -> list[Problem]:
    where = f"{ARGUMENTS} of {id_}"
    takes = ", ".join(checker.arguments) or "none"
    strange = [
        Problem(where=where, what=f"unknown argument {key!r}", fix=f"it takes: {takes}")
        for key in given.keys() - checker.arguments.keys()
    ]
    missing = [
        Problem(where=where, what=f"{key} is missing", fix=f"{key} must be {needs.value}")
        for key, needs in checker.arguments.items()
        if key not in given
    ]
    wrong = [
        Problem(where=where, what=f"{key} is {given[key]!r}", fix=f"{key} must be {needs.value}")
        for key, needs in checker.arguments.items()
        if key in given and not needs.holds(given[key])
    ]
    return [*strange, *missing, *wrong]


def _plain(value: object) -> object:
    """Return lists as tuples, and whole numbers as such (a table with gaps makes 3.0 of 3)."""
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
