"""Names of models: OpenAI's on the outside, the provider's inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SUFFIX = re.compile(r"[^a-z0-9-]+")
_CHECKPOINT = ":ckpt-step-"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseName:
    """A base model: the name that clients see and the provider's own."""

    public: str
    base: str


class ModelNames:
    """Knows which base models clients may name."""

    def __init__(self, model_map: Mapping[str, str], models: Sequence[str]) -> None:
        """Set up.

        Args:
            model_map: Name that clients use (it may end with `*`) → the provider's model.
            models: Models that may be named as they are.
        """
        self._map = dict(model_map)
        self._models = tuple(dict.fromkeys(models))

    @property
    def public(self) -> list[str]:
        """Return all names that clients may use, those with `*` aside."""
        return list(dict.fromkeys([*(name for name in self._map if not name.endswith("*")), *self._models]))

    def find(self, name: str) -> BaseName | None:
        """Return the base model that a name stands for, or None.

        An exact name wins; then one that differs only by a snapshot's date (`gpt-4o-mini` and
        `gpt-4o-mini-2024-07-18`); then the longest key with `*` that fits.

        Args:
            name: What the client says.
        """
        if name in self._map:
            return BaseName(public=name, base=self._map[name])
        if name in self._models:
            return BaseName(public=name, base=name)
        return self._by_date(name) or self._by_star(name)

    def _by_date(self, name: str) -> BaseName | None:
        alias = _DATE.sub("", name)
        fits = [key for key in self._map if _DATE.sub("", key) == alias and (name == alias or key == alias)]
        if not fits:
            return None
        key = max(fits)
        public = name if key == alias else key  # the snapshot is the more exact name
        return BaseName(public=public, base=self._map[key])

    def _by_star(self, name: str) -> BaseName | None:
        fits = [key for key in self._map if key.endswith("*") and name.startswith(key[:-1])]
        return BaseName(public=name, base=self._map[max(fits, key=len)]) if fits else None


def tuned_name(base: str, organization: str, suffix: str | None, short_id: str) -> str:
    """Return the name of a tuned model: `ft:BASE:ORG:SUFFIX:ID`.

    Args:
        base: Public name of the base.
        organization: The server's organisation.
        suffix: The client's words; made lower case, other signs become dashes.
        short_id: The end of the job's id.
    """
    words = _SUFFIX.sub("-", (suffix or "").lower()).strip("-")
    return f"ft:{base}:{organization}:{words}:{short_id}"


def checkpoint_name(tuned: str, step: int) -> str:
    """Return the name of a checkpoint of a tuned model."""
    return f"{tuned}{_CHECKPOINT}{step}"


def split_checkpoint(name: str) -> tuple[str, int | None]:
    """Split a model's name into the tuned model's and the checkpoint's step, if it names one."""
    tuned, mark, step = name.partition(_CHECKPOINT)
    if mark and step.isascii() and step.isdigit() and len(step) < 12:
        return tuned, int(step)
    return name, None


def short_id_of(tuned: str) -> str | None:
    """Return the end of the job's id in a tuned model's name, or None when it is no such name."""
    return tuned.rpartition(":")[2] if tuned.startswith("ft:") and tuned.count(":") >= 4 else None
