"""What people and judges prefer, in sentences under the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.evaluation.statistics import ALPHA
from broker.results import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.text import Text

    from broker.evaluation.panel import Estimate, Panel
    from broker.evaluation.preference import PreferenceResult


def preference_notes(results: Iterable[PreferenceResult]) -> list[str]:
    """Return what was found, a few sentences for each result."""
    return [line for result in results if result.n for line in _told(result)]


def preference_texts(results: Sequence[PreferenceResult], say: Callable[[str], str]) -> list[Text]:
    """Return the notes as a terminal shows them: who is preferred stands out.

    Args:
        results: What was found.
        say: Puts text into the signs that the terminal knows.
    """
    from rich.text import Text

    texts = [Text(say(line)) for line in preference_notes(results)]
    for text in texts:
        text.highlight_words([say(preference_verdict(result)) for result in results], "bold")
    return texts


def preference_warnings(results: Iterable[PreferenceResult]) -> list[str]:
    """Return what a reader of the preferences must not miss."""
    return [
        f"{result.pair.left_label} against {result.pair.right_label} ({result.by}): {remark}"
        for result in results
        for remark in result.remarks
    ]


def preference_verdict(result: PreferenceResult) -> str:
    """Return in one line who is preferred: `tuned is preferred to base`, or that they cannot be told apart."""
    left, right = result.pair.left_label, result.pair.right_label
    if (result.p if result.p_adjusted is None else result.p_adjusted) >= ALPHA:
        return f"{left} and {right} cannot be told apart"
    return f"{left} is preferred to {right}" if result.wins > result.losses else f"{right} is preferred to {left}"


def share(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Return a share as a percentage, with its interval where there is one."""
    if value is None:
        return wording.NOTHING
    ends = "" if low is None or high is None else f" [{low * 100:.1f}, {high * 100:.1f}]"
    return f"{value * 100:.1f} %{ends}"


def correlation(estimate: Estimate) -> str:
    """Return a correlation with its interval and p value."""
    if estimate.value is None:
        return wording.NOTHING
    ends = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{ends}" + (f", {p_said(estimate.p)}" if estimate.p is not None else "")


def sign_test(result: PreferenceResult) -> str:
    """Return the test in words; where several pairs were tested, also after Holm over them."""
    alone = f"sign test {p_said(result.p)}"
    if result.p_adjusted is None or result.family < 2:
        return alone
    return f"{alone}, {p_said(result.p_adjusted)} after Holm over {result.family} comparisons"


def p_said(p: float) -> str:
    """Return a p value in a sentence: `p = 0.034`, `p < 0.001`."""
    said = p_value(p)
    return f"p {said.replace('<', '< ')}" if said.startswith("<") else f"p = {said}"


def p_value(p: float) -> str:
    """Return a p value as one reads it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _told(result: PreferenceResult) -> list[str]:
    pair, asked = result.pair, f", asked “{result.panel.criterion}”" if result.panel else ""
    won = f"{result.wins} of {result.n} prompts won by {pair.left_label}, {result.losses} by {pair.right_label}"
    rate = f"win rate {share(result.win_rate, result.low, result.high)}, {sign_test(result)}"
    head = f"Preference, by {result.by}{asked}: {preference_verdict(result)} ({won}, {result.ties} tied; {rate})."
    lines = [" ".join([head, *_agreed(result)])]
    return [*lines, *_panel(result, result.panel)] if result.panel else lines


def _agreed(result: PreferenceResult) -> list[str]:
    if result.agreement is None:
        return []
    alpha = "" if result.alpha is None else f" (Krippendorff's alpha {result.alpha:.2f})"
    return [f"Two judgements of a prompt agree in {share(result.agreement)} of cases{alpha}."]


def _panel(result: PreferenceResult, panel: Panel) -> list[str]:
    left, right = result.pair.left_label, result.pair.right_label
    votes = f"{panel.left} for {left}, {panel.right} for {right}, {panel.ties} for neither, {panel.skipped} skipped"
    beyond = "other voters and other prompts" if panel.voters > 1 else "other prompts, but only this voter"
    lines = [f"Votes: {votes}; {left} has {_share(panel.share)} of them (interval for {beyond})."]
    if panel.easier.value is not None:
        easier = f"the answer that is easier to read (Flesch) won {_share(panel.easier)} of {panel.easier.n} prompts"
        lines.append(f"Ease: {easier}; {_together(panel.ease)}.")
    return lines


def _together(ease: Estimate) -> str:
    if ease.value is None:
        return "whether more ease goes with more preference cannot be said: one of them does not vary"
    return f"Spearman's rho of ease and preference over {ease.n} prompts {correlation(ease)}"


def _share(estimate: Estimate) -> str:
    return share(estimate.value, estimate.low, estimate.high)
