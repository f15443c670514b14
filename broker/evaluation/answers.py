"""The stored answers of one evaluation: which are there, which must still be asked.

One line of `answers.jsonl` is one answer, written as it came. `asked` is a hash of everything that decides the answers
(model, validation set, policy, decoding): lines of another question are left alone and not counted.

A remote answer stands by itself. A local one was made in a batch, and the composition of a batch changes its text in
bf16 and int8, so a batch counts as a whole: batches come one after another, hence all but the last one stored in a
session are complete, and the last one is made again unless every row of the set is there. What is left are whole
batches of the same plan (longest prompt first, fixed size), so the planner makes the same ones again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.evaluation.record import ANSWERS
from broker.jobs.codec import dump
from broker.jobs.rowfile import RowFile
from broker.providers.contract import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.spec import EvaluateSpec, ModelRef

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswers:
    """What the file holds for one question.

    Attributes:
        answers: By row id; the last one stored counts.
        seconds: Wall-clock seconds of asking in all sessions; of local models, which wait for one another, the seconds
            of their own batches.
        sessions: How many sessions have stored answers.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict[str, Answer])
    seconds: float = 0.0
    sessions: int = 0


def question(spec: EvaluateSpec, model: ModelRef) -> str:
    """Return the hash of everything that decides the answers."""
    parts = [dump(model), spec.validation.sha256, dump(spec.policy), dump(spec.decoding)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def stored(lines: Iterable[Line], asked: str) -> StoredAnswers:
    """Return the answers to one question.

    Args:
        lines: Complete lines of the file, in order.
        asked: The hash of the question.
    """
    own = [line for line in lines if line.get("asked") == asked]
    sessions = {line["session"] for line in own}
    return StoredAnswers(
        answers={line["id"]: _answer(line) for line in own},
        seconds=sum(_seconds([line for line in own if line["session"] == session]) for session in sessions),
        sessions=max(sessions, default=-1) + 1,
    )


def standing(lines: Sequence[Line], asked: str, rows: int, *, retry_failed: bool = False) -> set[str]:
    """Return the ids that need not be asked again.

    Args:
        lines: Complete lines of the file, in order.
        asked: The hash of the question.
        rows: Rows of the whole set.
        retry_failed: Ask failed rows (and the local batches they were in) again.
    """
    own = [line for line in lines if line.get("asked") == asked]
    latest = {line["id"]: line for line in own}
    again = _unfinished(own) if len(latest) < rows else set[tuple[int, int]]()
    failed = {line["id"] for line in latest.values() if line.get("failure") is not None} if retry_failed else set[str]()
    again |= {key for line in latest.values() if line["id"] in failed and (key := _batch(line)) is not None}
    return {id_ for id_, line in latest.items() if id_ not in failed and _batch(line) not in again}


def read_answers(folder: Path, spec: EvaluateSpec, model: ModelRef) -> StoredAnswers:
    """Return the stored answers of an evaluation's folder (blocking).

    Raises:
        StoreError: The file cannot be read.
    """
    return stored(RowFile(folder / ANSWERS).read(), question(spec, model))


def take_over(folder: Path, earlier: Path, asked: str) -> bool:
    """Take the answers that an earlier evaluation got to the same question, so that nobody is asked again (blocking).

    They were paid there. Rows that failed there are left to be asked; of a local model, whose batches count as a whole,
    everything is taken.

    Args:
        folder: Of the evaluation that has no answers yet; one that has some is left as it is.
        earlier: Of the earlier evaluation.
        asked: The hash of the question.

    Returns:
        Whether there were any.

    Raises:
        StoreError: A file cannot be read or written.
    """
    with RowFile(folder / ANSWERS) as file:
        if file.read():
            return False
        lines = [line for line in RowFile(earlier / ANSWERS).read() if line.get("asked") == asked]
        kept = [{**line, "cost_usd": 0.0} for line in lines if line.get("failure") is None or _batch(line) is not None]
        if kept:
            file.append(kept)
        return bool(kept)


def line_of(answer: Answer, *, asked: str, session: int, elapsed_s: float) -> Line:
    """Return the line to store for an answer."""
    return {**dump(answer), "asked": asked, "session": session, "elapsed_s": round(elapsed_s, 3)}


def _answer(line: Line) -> Answer:
    return Answer(**{key: value for key, value in line.items() if key in _ANSWER_KEYS})


_ANSWER_KEYS = frozenset(Answer.__dataclass_fields__)


def _seconds(session: Sequence[Line]) -> float:
    """Return how long a session took: its batches where there are some, or else the time until its last answer."""
    batches: dict[int, float] = {}
    for line in session:
        if line.get("batch") is not None:
            batches[line["batch"]] = max(batches.get(line["batch"], 0.0), float(line["latency_s"]))
    return sum(batches.values()) or max(float(line["elapsed_s"]) for line in session)


def _batch(line: Line) -> tuple[int, int] | None:
    return None if line.get("batch") is None else (line["session"], line["batch"])


def _unfinished(lines: Iterable[Line]) -> set[tuple[int, int]]:
    """Return the last local batch that each session stored, also where a later session has made it again by now."""
    last: dict[int, int] = {}
    for line in lines:
        if line.get("batch") is not None:
            last[line["session"]] = line["batch"]
    return set(last.items())
