"""Instructions about things that a response must hold: placeholders, a postscript."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\[.*?\]")
_POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}


def number_placeholders(response: str, *, num_placeholders: int) -> bool:
    """Say whether there are at least so many pairs of square brackets, each on one line; links in Markdown count."""
    return len(_PLACEHOLDER.findall(response)) >= num_placeholders


def postscript(response: str, *, postscript_marker: str) -> bool:
    """Say whether the marker stands anywhere, in any case.

    "P.S." and "P.P.S" may have a space after their dots; another marker is a regular expression.
    """
    marker = postscript_marker.strip()
    return re.search(_POSTSCRIPTS.get(marker, marker.lower()), response.lower()) is not None
