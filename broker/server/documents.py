"""The server's own objects (files, uploads, jobs, batches, keys) as documents of the store, for async callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from broker.jobs.blocking import blocking
from broker.jobs.codec import dump, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class DocumentStore(Protocol):
    """The part of the store that the server's own objects need."""

    def put_document(self, kind: str, name: str, data: Mapping[str, Any]) -> None:
        """Store a document, replacing an old one."""

    def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a document, or None."""
        ...

    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all documents of a kind by name."""
        ...

    def delete_document(self, kind: str, name: str) -> bool:
        """Delete a document; say whether there was one."""
        ...


class Shelf(Generic[T]):
    """All objects of one kind."""

    def __init__(self, store: DocumentStore, kind: str, item: type[T], name: Callable[[T], str]) -> None:
        """Set up a shelf.

        Args:
            store: Where the documents are.
            kind: The documents' kind.
            item: The class of the objects.
            name: Gives an object's id.
        """
        self._store = store
        self._kind = kind
        self._item = item
        self._name = name

    async def put(self, item: T) -> T:
        """Store an object, replacing an old one with its id; return it."""
        await blocking(self._store.put_document, self._kind, self._name(item), dump(item))
        return item

    async def get(self, name: str) -> T | None:
        """Return an object by its id."""
        data = await blocking(self._store.document, self._kind, name)
        return None if data is None else load(self._item, data)

    async def all(self) -> list[T]:
        """Return all objects."""
        found = await blocking(self._store.documents, self._kind)
        return [load(self._item, data) for data in found.values()]

    async def delete(self, name: str) -> bool:
        """Delete an object; say whether there was one."""
        return await blocking(self._store.delete_document, self._kind, name)
