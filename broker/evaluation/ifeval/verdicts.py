"""Strict and loose judgement of one answer.

Strict looks at the answer as it is. Loose looks at eight variants of it, so that a greeting, a farewell or Markdown's
asterisks around a good answer do not fail it; an instruction counts as followed when any variant follows it, each
instruction by the variant that suits it. An empty answer, or variant, follows nothing.

Source: arXiv 2311.07911, section 2.2 ("loose-accuracy").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from broker.errors import DataError, Problem
from broker.evaluation.ifeval.checkers import CHECKERS

if TYPE_CHECKING:
    from broker.evaluation.ifeval.rows import Instruction

# The four metrics ask for the same verdicts one after another.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which instructions an answer follows, in the row's order.

    Attributes:
        strict: As it is.
        loose: In any of its variants; never fewer.
    """

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


@lru_cache(maxsize=_REMEMBERED)
def judge(response: str, instructions: tuple[Instruction, ...]) -> Verdict:
    """Judge one answer.

    Args:
        response: The answer.
        instructions: From `read_instructions`.

    Raises:
        DataError: An argument is meant as a regular expression and is none.
    """
    strict = tuple(_follows(response, instruction) for instruction in instructions)
    forms = variants(response)[1:]
    loose = (
        followed or any(_follows(form, instruction) for form in forms)
        for followed, instruction in zip(strict, instructions, strict=True)
    )
    return Verdict(strict, tuple(loose))


def variants(response: str) -> tuple[str, ...]:
    """Return the eight forms that loose judgement looks at, the answer itself first.

    Without its first line, its last line, or both (white space around the rest gone), each also without asterisks.
    """
    lines = response.split("\n")
    rests = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    forms = (response, *rests)
    return (*forms, *(form.replace("*", "") for form in forms))


def _follows(response: str, instruction: Instruction) -> bool:
    if not response.strip():
        return False
    try:
        return CHECKERS[instruction.id].check(response, **dict(instruction.arguments))
    except re.error as error:
        where, what = f"kwargs of {instruction.id}", f"{dict(instruction.arguments)} is no regular expression: {error}"
        raise DataError([Problem(where=where, what=what, fix="put a backslash before . * + ? ( ) [ ] |")]) from error
