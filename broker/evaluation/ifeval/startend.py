"""Instructions about how a response begins and ends."""

from __future__ import annotations


def end_checker(response: str, *, end_phrase: str) -> bool:
    """Say whether the response ends with a phrase, in any case; double quotation marks after it are passed over."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(response: str) -> bool:
    """Say whether straight double quotation marks stand at both ends."""
    text = response.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')
