"""What is wrong within one row, before anybody knows its file and line."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong with a row.

    Attributes:
        what: What is wrong, with the value found.
        fix: What to change.
    """

    what: str
    fix: str
