"""The results page: one file with everything in it, that asks nobody for anything."""

from broker.results.document.page import to_page

__all__ = ["to_page"]
