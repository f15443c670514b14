"""The two ways in which an instruction bounds a number."""

from __future__ import annotations

LESS_THAN = "less than"
AT_LEAST = "at least"
RELATIONS = (LESS_THAN, AT_LEAST)


def holds(count: int, relation: str, threshold: int) -> bool:
    """Say whether a count is on the right side of a threshold.

    Args:
        count: What was found.
        relation: `less than` or `at least`; there is no "at most" and no "more than".
        threshold: Whole number.
    """
    return count < threshold if relation == LESS_THAN else count >= threshold
