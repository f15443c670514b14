"""Counts what a book holds and keeps the result beside the judges' (blocking)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.evaluation.families import in_family
from broker.evaluation.preference import PreferenceResult, load_preferences, save_preference
from broker.voting.tally import tally

if TYPE_CHECKING:
    from pathlib import Path

    from broker.voting.booth import Booth


def count_votes(booth: Booth, data_dir: Path) -> PreferenceResult:
    """Count the votes of a booth and, when there are any, store the result for the table.

    Args:
        booth: Whose votes.
        data_dir: The broker's data folder.

    Returns:
        Seen from the model that was named first.

    Raises:
        StoreError: The disk refused.
    """
    from broker.evaluation.flesch import flesch

    result = tally(booth.ballot, booth.book.votes(), score=flesch)
    result = result if booth.first in ("", result.pair.left) else result.turned()
    if not result.n:
        return result
    save_preference(result, data_dir)
    return in_family(result, load_preferences(data_dir, result.pair.experiment))
