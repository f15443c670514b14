"""Which of two models people or a judge prefer, on the same prompts: one value, however the opinions were had.

An opinion is one look at two answers. How opinions become a number:

1. Opinions of one judge or voter about one row are one *judgement*. With `swapped`, a judgement needs both orders of
   showing, and counts as a tie unless both name the same winner; so a judge who always takes the first answer decides
   nothing.
2. A row is won by the model that more judgements favour; else it is a tie.
3. The win rate is (rows won + half the tied rows) / rows. Its interval is Wilson's with ties as half a success: ties
   make the true spread smaller than Wilson assumes, so the interval is rather too wide than too narrow.
4. p is the exact two-sided sign test of the rows won against the rows lost; ties say nothing for either side.

```
DATA_DIR/preferences/EXPERIMENT/LEFT--RIGHT/   the ids of the two evaluations, in alphabetical order
├── judge-HASH.json    PreferenceResult of one judge
└── people-HASH.json   PreferenceResult of people's votes on one question
```
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from broker.errors import StoreError
from broker.evaluation.agreement import krippendorff_alpha, pairwise_agreement
from broker.evaluation.panel import Panel
from broker.evaluation.statistics import mcnemar_p, wilson_halves
from broker.jobs.codec import dump, load
from broker.jobs.durable import guarded, make_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "preferences"
FORMAT = 1
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Winner(StrEnum):
    """Whose answer is better."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"


class Source(StrEnum):
    """Whose opinions they are."""

    JUDGE = "judge"
    PEOPLE = "people"


_POINTS = {Winner.LEFT: 1.0, Winner.TIE: 0.5, Winner.RIGHT: 0.0}
_OTHER = {Winner.LEFT: Winner.RIGHT, Winner.RIGHT: Winner.LEFT, Winner.TIE: Winner.TIE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """One look at two answers to the same prompt.

    Attributes:
        row: Id of the validation row.
        winner: Whose answer was found better.
        left_first: The left model's answer was shown first.
        by: Who looked: a voter, or a sample of the judge.
        reason: Why, if it was said.
    """

    row: str
    winner: Winner
    left_first: bool
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVerdict:
    """What was found about one row.

    Attributes:
        row: Id of the validation row.
        winner: The model that more judgements favour.
        left: Judgements for the left model.
        right: Judgements for the right one.
        ties: Judgements for neither.
    """

    row: str
    winner: Winner
    left: int
    right: int
    ties: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Who is compared.

    Attributes:
        experiment: Name of the experiment.
        left: Id of one evaluation.
        right: Id of the other.
        left_label: What tables call the left model.
        right_label: What tables call the right one.
        validation_sha256: The frozen set that both answered.
    """

    experiment: str
    left: str
    right: str
    left_label: str
    right_label: str
    validation_sha256: str = ""

    def turned(self) -> Pair:
        """Return the same pair from the other side."""
        return replace(self, left=self.right, right=self.left, left_label=self.right_label, right_label=self.left_label)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceResult:
    """How often one model's answers were preferred to another's.

    Attributes:
        pair: Who is compared; "left" is its left model.
        source: Whose opinions they are.
        by: Who: `openai:gpt-4.1-mini`, or `3 voters`.
        n: Rows with a verdict.
        wins: Rows won by the left model.
        losses: Rows won by the right one.
        ties: Rows won by neither.
        win_rate: (wins + ties / 2) / n, in 0..1; None without rows.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Exact sign test of wins against losses, two-sided; 1 without a decided row.
        p_adjusted: The same after Holm over its family (`broker.evaluation.families`); None by itself.
        family: How many results the family has.
        agreement: Share of pairs of judgements on the same row that are equal; None where no row has two.
        alpha: Krippendorff's alpha of the same judgements, ties between the two sides; None where it cannot be had.
        position_bias: How much more often than half of the time the answer shown first was preferred (of opinions with
            a winner): -0.5..0.5; None without any.
        swaps: Judgements made of both orders of showing.
        flips: Of these, how many changed when the answers changed places.
        unscored: Rows without a verdict.
        failures: Why opinions are missing, with counts.
        cost_usd: What the opinions cost.
        made_by: What decides the opinions: version of the prompt, samples, temperature.
        rows: The verdict of each row.
        remarks: Warnings to show with the number.
        panel: What else is known of a vote by people; None for a judge.
    """

    pair: Pair
    source: Source
    by: str
    n: int = 0
    wins: int = 0
    losses: int = 0
    ties: int = 0
    win_rate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    p_adjusted: float | None = None
    family: int = 1
    agreement: float | None = None
    alpha: float | None = None
    position_bias: float | None = None
    swaps: int = 0
    flips: int = 0
    unscored: int = 0
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    cost_usd: float = 0.0
    made_by: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rows: tuple[RowVerdict, ...] = ()
    remarks: tuple[str, ...] = ()
    panel: Panel | None = None

    def turned(self) -> PreferenceResult:
        """Return the same result from the other side."""
        rows = tuple(replace(row, winner=_OTHER[row.winner], left=row.right, right=row.left) for row in self.rows)
        return replace(
            self,
            pair=self.pair.turned(),
            wins=self.losses,
            losses=self.wins,
            win_rate=_flipped(self.win_rate),
            low=_flipped(self.high),
            high=_flipped(self.low),
            rows=rows,
            panel=self.panel.turned() if self.panel else None,
        )


def weigh(
    pair: Pair, source: Source, by: str, opinions: Iterable[Opinion], *, swapped: bool, rows: int | None = None
) -> PreferenceResult:
    """Make the result of opinions.

    Args:
        pair: Who is compared.
        source: Whose opinions they are.
        by: Who looked.
        opinions: In the order in which they came; the last one counts where a voter looked twice at the same row in
            the same order of showing.
        swapped: A judgement needs both orders of showing (a judge), rather than the one that was shown (people).
        rows: Rows of the validation set; None counts those with an opinion.

    Returns:
        The result, without cost, failures and remarks, which are the caller's to add.
    """
    latest = {(one.row, one.by, one.left_first): one for one in opinions}
    looks: dict[tuple[str, str], list[Opinion]] = {}
    for one in latest.values():
        looks.setdefault((one.row, one.by), []).append(one)
    judged: dict[str, list[Winner]] = {row: [] for row, _ in looks}
    for (row, _), both in looks.items():
        if len(both) == 2 or not swapped:
            judged[row].append(_judgement(both))
    verdicts = [_verdict(row, winners) for row, winners in judged.items() if winners]
    result = PreferenceResult(pair=pair, source=source, by=by, rows=tuple(sorted(verdicts, key=_place)))
    return replace(_summed(result, rows), **_reliability(judged.values(), latest.values(), looks.values()))


def _judgement(looks: Sequence[Opinion]) -> Winner:
    winners = {look.winner for look in looks}
    return looks[0].winner if len(winners) == 1 else Winner.TIE


def _verdict(row: str, winners: Sequence[Winner]) -> RowVerdict:
    left, right = winners.count(Winner.LEFT), winners.count(Winner.RIGHT)
    winner = Winner.LEFT if left > right else Winner.RIGHT if right > left else Winner.TIE
    return RowVerdict(row=row, winner=winner, left=left, right=right, ties=len(winners) - left - right)


def _place(verdict: RowVerdict) -> tuple[int, str]:
    """Order rows by number where their ids are numbers."""
    return (int(verdict.row) if verdict.row.isdecimal() else 0, verdict.row)


def _summed(result: PreferenceResult, rows: int | None) -> PreferenceResult:
    winners = [verdict.winner for verdict in result.rows]
    n, wins, losses = len(winners), winners.count(Winner.LEFT), winners.count(Winner.RIGHT)
    ties = n - wins - losses
    rate = wilson_halves(2 * wins + ties, n)
    return replace(
        result,
        n=n,
        wins=wins,
        losses=losses,
        ties=ties,
        win_rate=rate.value,
        low=rate.low,
        high=rate.high,
        p=mcnemar_p(wins, losses),  # the exact McNemar test is the sign test of the rows that differ
        unscored=max(0, rows - n) if rows is not None else 0,
    )


def _reliability(
    judged: Iterable[Sequence[Winner]], opinions: Iterable[Opinion], looks: Iterable[Sequence[Opinion]]
) -> dict[str, Any]:
    judgements = list(judged)
    decided = [one for one in opinions if one.winner is not Winner.TIE]
    first = sum((one.winner is Winner.LEFT) == one.left_first for one in decided)
    both = [pair for pair in looks if len(pair) == 2]
    return {
        "agreement": pairwise_agreement(judgements),
        "alpha": krippendorff_alpha([[_POINTS[winner] for winner in winners] for winners in judgements]),
        "position_bias": first / len(decided) - 0.5 if decided else None,
        "swaps": len(both),
        "flips": sum(one.winner is not other.winner for one, other in both),
    }


def _flipped(share: float | None) -> float | None:
    return None if share is None else 1 - share


# --- where it is kept -----------------------------------------------------------------------------------------------


def pair_folder(data_dir: Path, pair: Pair, kind: str = FOLDER) -> Path:
    """Return the folder of a pair: the same one from either side.

    Args:
        data_dir: The broker's data folder.
        pair: Who is compared.
        kind: What the folder is for.
    """
    return experiment_folder(data_dir, pair.experiment, kind) / "--".join(sorted((pair.left, pair.right)))


def save_preference(result: PreferenceResult, data_dir: Path) -> Path:
    """Store a result durably, in place of an earlier one of the same pair by the same judge (or of the same vote).

    Args:
        result: What was found.
        data_dir: The broker's data folder.

    Returns:
        The file.

    Raises:
        StoreError: The disk refused; an older file is intact.
    """
    path = pair_folder(data_dir, result.pair) / f"{mark_of(result)}.json"
    alone = replace(result, p_adjusted=None, family=1)  # the next result changes the family
    text = json.dumps({"format": FORMAT, **dump(alone)}, ensure_ascii=False, allow_nan=False)
    with guarded(path, "write the preferences"):
        make_folder(path.parent)
        write_whole(path, text.encode())
    return path


def mark_of(result: PreferenceResult) -> str:
    """Return what tells a result from others of the same pair: a judge and how it was asked, or the vote."""
    by = result.by if result.source is Source.JUDGE else ""  # more voters are still the same vote
    mark = hashlib.sha256(json.dumps([by, dump(dict(result.made_by))], sort_keys=True).encode()).hexdigest()[:8]
    return f"{result.source}-{mark}"


def load_preferences(data_dir: Path, experiment: str) -> list[PreferenceResult]:
    """Return every stored result of an experiment (blocking).

    Args:
        data_dir: The broker's data folder.
        experiment: Its name.

    Raises:
        StoreError: A file is not one of ours.
    """
    return [_read(path) for path in sorted(experiment_folder(data_dir, experiment).glob("*/*.json"))]


def _read(path: Path) -> PreferenceResult:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("format", None)
        return load(PreferenceResult, data)
    except (ValidationError, ValueError, AttributeError) as error:
        fix = f"delete {path} and judge or vote again"
        raise StoreError("not a file of preferences", where=str(path), fix=fix) from error


def experiment_folder(data_dir: Path, experiment: str, kind: str = FOLDER) -> Path:
    """Return the folder of an experiment; a name that is no good file name is replaced by a hash of it.

    Args:
        data_dir: The broker's data folder.
        experiment: Its name.
        kind: What the folder is for.
    """
    plain = bool(_PLAIN_NAME.fullmatch(experiment))
    return data_dir / kind / (experiment if plain else hashlib.sha256(experiment.encode()).hexdigest()[:24])
