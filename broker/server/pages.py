"""Pages of a list, by cursor. Ids sort by time, so a page goes on after an object that was deleted meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from broker.server.errors import invalid
from broker.server.ids import sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.datastructures import QueryParams

T = TypeVar("T")
_METADATA = "metadata["


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """What part of a list is asked for.

    Attributes:
        after: Id of the last object of the page before.
        limit: Most objects of the page.
        ascending: Oldest first.
    """

    after: str | None
    limit: int
    ascending: bool = False


def page_query(query: QueryParams, *, default: int, most: int) -> PageQuery:
    """Read `after`, `limit` and `order`.

    Args:
        query: The query of the URL.
        default: Objects of a page when the client does not say.
        most: Most objects of a page; a larger wish is cut to this.

    Raises:
        ApiError: 400 about a value that does not fit.
    """
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid(f"Invalid value: {order[:40]!r}. Supported values are: 'asc' and 'desc'.", param="order")
    return PageQuery(after=query.get("after"), limit=_limit(query, default, most), ascending=order == "asc")


def metadata_query(query: QueryParams) -> dict[str, str]:
    """Read the filters `metadata[key]=value`."""
    pairs = ((name, value) for name, value in query.multi_items() if name.startswith(_METADATA) and name.endswith("]"))
    return {name[len(_METADATA) : -1]: value for name, value in pairs}


def cut(items: Sequence[T], asked: PageQuery, name: Callable[[T], str]) -> tuple[list[T], bool]:
    """Return one page and whether more follows.

    Args:
        items: All objects, in any order.
        asked: The part that is wanted.
        name: Gives an object's id.
    """
    keyed = sorted(((_key(name(item)), item) for item in items), key=lambda pair: pair[0], reverse=not asked.ascending)
    if asked.after is not None:
        keyed = _after(keyed, asked.after, ascending=asked.ascending)
    page = [item for _, item in keyed[: asked.limit]]
    return page, bool(page) and len(keyed) > len(page)


def list_body(data: Sequence[dict[str, Any]], more: bool, *, ends: bool = True) -> dict[str, Any]:
    """Return a list object.

    Args:
        data: The objects of the page.
        more: Whether another page follows.
        ends: Name the first and the last id too.
    """
    body: dict[str, Any] = {"object": "list", "data": list(data), "has_more": more}
    if ends:
        body["first_id"] = data[0]["id"] if data else None
        body["last_id"] = data[-1]["id"] if data else None
    return body


def _limit(query: QueryParams, default: int, most: int) -> int:
    text = query.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 12):
        raise invalid(
            f"Invalid type for 'limit': expected an integer, but got {text[:40]!r} instead.",
            param="limit",
            code="invalid_type",
        )
    if int(text) < 0:
        raise invalid(f"Invalid 'limit': expected a value >= 0, but got {text} instead.", param="limit")
    return min(int(text), most)


def _key(object_id: str) -> str:
    return sort_key(object_id) or object_id


def _after(keyed: list[tuple[str, T]], after: str, *, ascending: bool) -> list[tuple[str, T]]:
    cursor = sort_key(after)
    if cursor is None:  # never an id of ours: nothing can come after it, and a client that loops comes to its end
        return []
    return [(key, item) for key, item in keyed if (key > cursor if ascending else key < cursor)]
