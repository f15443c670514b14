"""The errors for names that nobody knows, with what may have been meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from broker.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR = 1000  # how many of the newest ids are looked through for one that was meant


def unknown_job(wanted: str, several: Sequence[str], newest: Sequence[str]) -> UnknownNameError:
    """Return the error for a job id that is not unique or not there.

    Args:
        wanted: What was typed.
        several: Ids that begin with it.
        newest: Ids that may have been meant.
    """
    if several:
        shown = ", ".join(several[:3]) + (", …" if len(several) > 3 else "")
        return UnknownNameError(f"{wanted!r} begins the ids of several jobs: {shown}", fix="type more of the id")
    near = get_close_matches(wanted, newest, n=1)
    hint = f"did you mean {near[0]}?" if near else "see `broker jobs` for those that exist"
    return UnknownNameError(f"there is no job {wanted!r}", fix=hint)


def unknown_experiment(name: str, known: Sequence[str]) -> UnknownNameError:
    """Return the error for an experiment that is not there.

    Args:
        name: What was typed.
        known: Names that may have been meant.
    """
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`broker results --list` shows those that exist"
    return UnknownNameError(f"there is no experiment {name!r}", fix=hint)
