"""Walks the pages of a listing, and stops where a server's pages never do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from broker.providers.foreign_json import Item, entries, fields

PAGE = 100
# Far more than any account has; a server that invents ids for ever ends here.
MOST_PAGES = 20_000

Fetch = Callable[[str | None], Awaitable[dict[str, Any]]]


async def pages(fetch: Fetch) -> AsyncIterator[list[Item]]:
    """Yield the pages of a listing, each item once.

    Ends with `has_more` false, with an empty page, and with a page that holds nothing new (a server that ignores
    `after`, or always says `has_more`).

    Args:
        fetch: Returns the page after an id, or the first one.
    """
    seen: set[str] = set()
    after: str | None = None
    for _ in range(MOST_PAGES):
        found = await fetch(after)
        items = [item for item in items_of(found) if item.get("id") and str(item["id"]) not in seen]
        if not items:
            return
        yield items
        seen.update(str(item["id"]) for item in items)
        after = str(items[-1]["id"])
        if not found.get("has_more"):
            return


def items_of(page: dict[str, Any]) -> list[Item]:
    """Return the objects of a page; what is no object is left out."""
    return [item for item in map(fields, entries(page.get("data"))) if item]


def created_at(item: Item) -> float:
    """Return when an object was created, seconds since 1970; 0 when it does not say."""
    value = item.get("created_at")
    return float(value) if isinstance(value, int | float) else 0.0


def newest_first(earlier: list[Item], later: list[Item]) -> bool:
    """Say whether two pages that follow each other are ordered from new to old."""
    return min(map(created_at, earlier)) >= max(map(created_at, later))
