"""What is asked of a judge, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Read = Callable[[str], tuple[Any, str]]


class UnreadableError(ValueError):
    """A reply that holds no judgement; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing to be judged, once.

    Attributes:
        about: What is judged: `rubric:empathy`, `pairwise`.
        row: Id of the validation row.
        sample: Which of several judgements of the same thing.
        messages: What the judge is asked.
        schema: The form of its reply.
        read: Returns the value and the reason that a reply holds; raises `UnreadableError`.
    """

    about: str
    row: str
    sample: int
    messages: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any]
    read: Read


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of a question.

    Attributes:
        value: A score, or the winner's name; None when there is no judgement.
        reason: What the judge gave as its reason.
        failure: Why there is no judgement.
    """

    value: Any = None
    reason: str = ""
    failure: str | None = None
