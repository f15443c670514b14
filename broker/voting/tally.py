"""From votes to the result: who was preferred on each prompt, how far voters agree, and whether easier answers win."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from broker.evaluation.panel import Estimate, Panel, clustered_share, easier_wins, rank_correlation
from broker.evaluation.preference import Opinion, PreferenceResult, RowVerdict, Source, Winner, weigh
from broker.voting.book import Choice, Vote

if TYPE_CHECKING:
    from broker.voting.ballot import Ballot

# Below this p, voters are said to lean to one side of the page.
_LEANING = 0.05
# A median below so many seconds is quicker than two answers can be read.
_HASTY_S = 2.0

Score = Callable[[str], float | None]


def tally(ballot: Ballot, votes: Sequence[Vote], *, score: Score) -> PreferenceResult:
    """Count the votes.

    Args:
        ballot: What was voted on.
        votes: Those that stand; votes on answers that are not in the ballot are counted as stale.
        score: Ease of reading of a text: Flesch's; None for a text without words.

    Returns:
        Seen from the ballot's left model.
    """
    rows = {(row.id, row.mark): row for row in ballot.every}
    valid = [vote for vote in votes if (vote.row, vote.mark) in rows]
    given = [vote for vote in valid if vote.choice is not Choice.SKIP]
    voters = {vote.voter for vote in given}
    by = f"{len(voters)} voter" if len(voters) == 1 else f"{len(voters)} voters"
    result = weigh(
        ballot.pair, Source.PEOPLE, by, map(opinion, given), swapped=False, rows=max(len(ballot.rows), _seen(given))
    )
    skipped, stale = len(valid) - len(given), len(votes) - len(valid)
    panel = replace(_panel(ballot, given, result, score), skipped=skipped, stale=stale)
    return replace(
        result,
        panel=panel,
        made_by={"criterion": ballot.criterion},
        remarks=tuple(_remarks(panel, result)),
    )


def opinion(vote: Vote) -> Opinion:
    """Return what a vote says of the two models."""
    return Opinion(row=vote.row, winner=winner(vote), left_first=vote.left_first, by=vote.voter)


def winner(vote: Vote) -> Winner:
    """Return whose answer was chosen."""
    if vote.choice not in (Choice.FIRST, Choice.SECOND):
        return Winner.TIE
    return Winner.LEFT if (vote.choice is Choice.FIRST) == vote.left_first else Winner.RIGHT


def _seen(votes: Sequence[Vote]) -> int:
    return len({vote.row for vote in votes})


def _panel(ballot: Ballot, votes: Sequence[Vote], result: PreferenceResult, score: Score) -> Panel:
    winners = [winner(vote) for vote in votes]
    points = [{Winner.LEFT: 1.0, Winner.RIGHT: 0.0, Winner.TIE: 0.5}[one] for one in winners]
    decided = [vote for vote in votes if vote.choice is not Choice.TIE]
    first = [1.0 if vote.choice is Choice.FIRST else 0.0 for vote in decided]
    easier, ease = _ease(ballot, result.rows, score)
    return Panel(
        criterion=ballot.criterion,
        voters=len({vote.voter for vote in votes}),
        votes=len(votes),
        left=winners.count(Winner.LEFT),
        right=winners.count(Winner.RIGHT),
        ties=winners.count(Winner.TIE),
        median_s=median(vote.ms for vote in votes) / 1000 if votes else None,
        share=clustered_share(points, [vote.voter for vote in votes], [vote.row for vote in votes]),
        first=clustered_share(first, [vote.voter for vote in decided], [vote.row for vote in decided]),
        easier=easier,
        ease=ease,
        left_out=ballot.left_out,
        helped=sum(vote.helped for vote in votes),
    )


def _ease(ballot: Ballot, verdicts: Sequence[RowVerdict], score: Score) -> tuple[Estimate, Estimate]:
    """Return how often the easier answer won, and how ease and preference go together."""
    rows = {row.id: row for row in ballot.every}
    differences: list[float] = []
    preferences: list[float] = []
    outcomes: list[float] = []
    for verdict in verdicts:
        left, right = score(rows[verdict.row].left), score(rows[verdict.row].right)
        if left is None or right is None:
            continue
        differences.append(left - right)
        preferences.append((verdict.left - verdict.right) / (verdict.left + verdict.right + verdict.ties))
        outcomes.append({Winner.LEFT: 1.0, Winner.RIGHT: -1.0, Winner.TIE: 0.0}[verdict.winner])
    return easier_wins(differences, outcomes), rank_correlation(differences, preferences)


def _remarks(panel: Panel, result: PreferenceResult) -> list[str]:
    lines: list[str] = []
    if panel.voters == 1:
        lines.append("one voter: this is one person's taste, and says nothing of others")
    if panel.first.p is not None and panel.first.p < _LEANING and panel.first.value is not None:
        side = "first" if panel.first.value > 0.5 else "second"
        share = max(panel.first.value, 1 - panel.first.value)
        lines.append(f"voters lean to one side: {share:.0%} of decided votes are for the answer shown {side}")
    if panel.median_s is not None and panel.median_s < _HASTY_S:
        lines.append(f"half of the votes took less than {panel.median_s:.1f} s: were the answers read?")
    if panel.helped:
        lines.append(f"the expected answer was shown for {panel.helped} of {panel.votes} votes")
    if panel.stale:
        lines.append(f"{panel.stale} votes are on answers that have changed since, and do not count")
    if result.unscored:
        lines.append(f"{result.unscored} of {result.n + result.unscored} prompts have no vote yet")
    return lines
