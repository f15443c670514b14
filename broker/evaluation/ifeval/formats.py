"""Instructions about the form of a response: lists, sections, highlights, titles, JSON, one of three answers.

`*` and `-` at the start of a line are bullets, whatever follows but a second asterisk; a rule (`---`) is one as well.
"""

from __future__ import annotations

import json
import re

_STAR_BULLET = re.compile(r"^\s*\*[^\*].*$", re.MULTILINE)
_DASH_BULLET = re.compile(r"^\s*-.*$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*[^\n\*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n\*]*\*\*")
_TITLE = re.compile(r"<<[^\n]+>>")
_FENCES = ("```json", "```Json", "```JSON", "```")
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_bullet_lists(response: str, *, num_bullets: int) -> bool:
    """Say whether there are exactly so many bullets; indented ones count."""
    return len(_STAR_BULLET.findall(response)) + len(_DASH_BULLET.findall(response)) == num_bullets


def constrained_response(response: str) -> bool:
    """Say whether one of the three answers ("My answer is yes.", "… no.", "… maybe.") occurs, case and dot included."""
    return any(answer in response for answer in _ANSWERS)


def number_highlighted_sections(response: str, *, num_highlights: int) -> bool:
    """Say whether there are at least so many highlights on one line each.

    `*so*` and `**so**` are one each; `***so***` is two, a single one within a double one.
    """
    single = sum(bool(found.strip("*").strip()) for found in _HIGHLIGHT.findall(response))
    double = sum(bool(found[2:-2].strip()) for found in _DOUBLE_HIGHLIGHT.findall(response))
    return single + double >= num_highlights


def multiple_sections(response: str, *, section_spliter: str, num_sections: int) -> bool:
    """Say whether the splitter with a number after it occurs at least so often, in its own case, at any place.

    The splitter is a regular expression; "SECTION 1", "SECTION1" and "SUBSECTION 1" count, "SECTION I" does not.
    """
    return len(re.findall(rf"\s?{section_spliter.strip()}\s?\d+\s?", response)) >= num_sections


def json_format(response: str) -> bool:
    """Say whether the whole response is JSON, a Markdown fence around it allowed."""
    text = response.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(response: str) -> bool:
    """Say whether a line holds a title in double angular brackets, which is more than white space and brackets."""
    return any(found.lstrip("<").rstrip(">").strip() for found in _TITLE.findall(response))
