"""The instruction about punctuation."""

from __future__ import annotations


def no_comma(response: str) -> bool:
    """Say whether there is no comma; those of other scripts are none."""
    return "," not in response
