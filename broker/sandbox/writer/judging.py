"""Scores and preferences by rules: warm words, ease of reading, and words shared with the question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from broker.sandbox.writer.prose import content, ease, words
from broker.sandbox.writer.words import WARM

if TYPE_CHECKING:
    from random import Random

_RUBRIC = re.compile(r"^\s*[-*]\s*(?P<name>[\w][\w ./-]*?)\s*(?::|$)", re.MULTILINE)
_WARM_NAMES = re.compile(r"empath|warm|kind|human|tone|convers|friend", re.IGNORECASE)
_EXACT_NAMES = re.compile(r"relevan|correct|accura|help|faith|complete|fact", re.IGNORECASE)
# A judge does not say the same each time: so often a score is one higher or lower.
_WAVERS = 0.25
_TIE = 0.5
_FULL_WARMTH = 0.2
_ENOUGH_WORDS = 8


def judge(question: str, answer: str, expected: str, rubric: str, rng: Random) -> dict[str, Any]:
    """Return a score from 0 to 10 for each name of the rubric, and `reason`.

    Args:
        question: What was asked.
        answer: What is judged.
        expected: The expected answer, if there is one.
        rubric: Lines `- name: …`.
        rng: Makes the judge waver.
    """
    warmth, easy, relevance = _warmth(answer), _easy(answer), _relevance(question, answer, expected)
    scores: dict[str, Any] = {}
    for name in [match["name"] for match in _RUBRIC.finditer(rubric)] or ["score"]:
        parts = (warmth, easy) if _WARM_NAMES.search(name) else (relevance, easy)
        main, other = parts if _WARM_NAMES.search(name) or _EXACT_NAMES.search(name) else (easy, relevance)
        wavering = rng.choice((-1, 1)) if rng.random() < _WAVERS else 0
        scores[name] = min(max(round(1 + 6 * main + 3 * other) + wavering, 0), 10) if words(answer) else 0
    said = f"{warmth:.0%} of full warmth, {easy:.0%} of full ease, {relevance:.0%} of the question's words"
    return {**scores, "reason": f"counted by rules: {said}"}


def compare(question: str, first: str, second: str) -> dict[str, str]:
    """Return `{"winner": "A" | "B" | "tie", "reason"}`; the order of the two does not matter."""
    totals = [_total(question, answer) for answer in (first, second)]
    gap = totals[0] - totals[1]
    winner = "tie" if abs(gap) < _TIE else "A" if gap > 0 else "B"
    return {"winner": winner, "reason": f"counted by rules: A has {totals[0]:.1f} of 10, B has {totals[1]:.1f}"}


def _total(question: str, answer: str) -> float:
    return 4 * _warmth(answer) + 3 * _easy(answer) + 3 * _relevance(question, answer, "")


def _warmth(answer: str) -> float:
    found = [word.lower().replace("\u2019", "'") for word in words(answer)]
    share = sum(word in WARM for word in found) / max(len(found), 1)
    return min(share / _FULL_WARMTH, 1.0)


def _easy(answer: str) -> float:
    return min(max(ease(answer) / 100, 0.0), 1.0)


def _relevance(question: str, answer: str, expected: str) -> float:
    wanted = set(content(f"{question} {expected}"))
    shared = len(wanted & set(content(answer))) / len(wanted) if wanted else 1.0
    long_enough = min(len(words(answer)) / _ENOUGH_WORDS, 1.0)
    return min(1.5 * shared, 1.0) * long_enough
