"""Tokens to text while they come: stop texts, unfinished characters, deltas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNFINISHED = "\ufffd"


class Writer:
    """The text of one answer as it grows."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        """Begin empty.

        Args:
            tokenizer: From transformers.
            stop: Texts at which the answer ends; they are not part of it.
        """
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._told = 0
        self._text: str | None = ""
        self.ids: list[int] = []
        self.stopped = False

    @property
    def text(self) -> str:
        """Return the answer so far."""
        if self._text is None:
            self._text = str(self._tokenizer.decode(self.ids, skip_special_tokens=True))
        return self._text

    def add(self, token: int) -> None:
        """Take the next token; sets `stopped` when a stop text is complete."""
        self.ids.append(token)
        self._text = None  # decoded when somebody looks
        found = [place for place in (self.text.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self._text = self.text[: min(found)]
            self.stopped = True

    def delta(self, *, last: bool = False) -> str:
        """Return the text that is certain and was not returned yet.

        Args:
            last: Nothing comes after: what was held back is certain now.
        """
        certain = len(self.text) if last or self.stopped else len(self.text) - self._doubtful()
        new = self.text[self._told : certain]
        self._told = max(self._told, certain)
        return new

    def _doubtful(self) -> int:
        """Return how many characters at the end may still change or turn out to begin a stop text."""
        trimmed = self.text.rstrip(_UNFINISHED)
        held = len(self.text) - len(trimmed)
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(trimmed)), 0, -1):
                if trimmed.endswith(stop[:length]):
                    held = max(held, length + len(self.text) - len(trimmed))
                    break
        return held
