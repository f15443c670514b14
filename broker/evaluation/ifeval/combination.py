"""Instructions about the response as a whole: two responses in one, the request repeated first."""

from __future__ import annotations

_DIVIDER = "******"


def two_responses(response: str) -> bool:
    """Say whether six asterisks part two different responses.

    A divider may stand before the first and after the last one; nothing between two dividers fails.
    """
    parts = [part.strip() for part in response.split(_DIVIDER)]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def repeat_prompt(response: str, *, prompt_to_repeat: str) -> bool:
    """Say whether the response begins with the request, but for case and white space around it."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())
