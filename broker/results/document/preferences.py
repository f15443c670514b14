"""What people and judges prefer, as a bar of won, tied and lost prompts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.results.preferences import preference_verdict, share, sign_test

if TYPE_CHECKING:
    from broker.evaluation.preference import PreferenceResult
    from broker.results.values import ResultsTable


def preference_section(table: ResultsTable) -> str:
    """Return a bar for each result; nothing where there is none."""
    return "".join(_one(result) for result in table.preferences if result.n)


def _one(result: PreferenceResult) -> str:
    pair = result.pair
    parts = (
        ("won", result.wins, pair.left_label),
        ("tied", result.ties, "tied"),
        ("lost", result.losses, pair.right_label),
    )
    bar = "".join(
        f'<span class="{name}" style="flex-grow:{count}" title="{escape(f"{whose}: {count}")}">{count}</span>'
        for name, count, whose in parts
        if count
    )
    rate = f"win rate {share(result.win_rate, result.low, result.high)}, {sign_test(result)}"
    agreed = "" if result.agreement is None else f"; two judgements agree in {share(result.agreement)} of cases"
    asked = f", asked “{result.panel.criterion}”" if result.panel else ""
    return (
        f"<figure><h3>{escape(preference_verdict(result))}</h3>"
        f'<div class="preference" role="img" aria-label="{escape(_told(result))}">{bar}</div>'
        f'<div class="ends"><span>{escape(pair.left_label)}</span><span>{escape(pair.right_label)}</span></div>'
        f"<figcaption>By {escape(result.by + asked)}: {result.n:,} prompts; {escape(rate + agreed)}.</figcaption>"
        "</figure>"
    )


def _told(result: PreferenceResult) -> str:
    won, lost = f"{result.wins} won by {result.pair.left_label}", f"{result.losses} by {result.pair.right_label}"
    return f"{won}, {result.ties} tied, {lost}"
