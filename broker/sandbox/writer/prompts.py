"""What the writer is asked: the first line `Task: NAME`, and sections that each begin with a line `### TITLE`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TITLES = frozenset(
    {
        "already there",
        "answer",
        "answer a",
        "answer b",
        "count",
        "domain",
        "expected",
        "persona",
        "prompt",
        "question",
        "rubric",
        "scenario",
        "text",
        "title",
        "turns",
    }
)
_TASK = re.compile(r"task:\s*([\w-]+)\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, taken apart.

    Attributes:
        task: Its name in lower case; empty when the text names none.
        sections: Texts by title in lower case.
        text: The whole text.
    """

    task: str
    sections: Mapping[str, str]
    text: str

    def section(self, *titles: str) -> str:
        """Return the first of these sections that is there, or an empty text."""
        return next((self.sections[title] for title in titles if title in self.sections), "")

    def number(self, title: str, default: int) -> int:
        """Return the first whole number of a section, between 1 and 200."""
        found = _NUMBER.search(self.section(title))
        return min(max(int(found.group()), 1), 200) if found else default


def read_prompt(text: str) -> Prompt:
    """Take a user's message apart.

    Args:
        text: The message. Only the titles in `TITLES` part it, so that a source text may have headings of its own.
    """
    lines = text.strip().splitlines()
    found = _TASK.match(lines[0].strip()) if lines else None
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        title = line[4:].strip().rstrip(":").lower() if line.startswith("### ") else ""
        if title in TITLES:
            current = sections.setdefault(title, [])
        elif current is not None:
            current.append(line)
    parts = {title: "\n".join(body).strip() for title, body in sections.items()}
    return Prompt(task=found.group(1).lower() if found else "", sections=parts, text=text)
