"""What the families of Gemini's models take, by their names: the API tells it only by refusing. Pure.

Read on 2026-11-25: ai.google.dev/gemini-api/docs `whats-new-gemini-3.6` (sampling parameters are deprecated and without
effect from 3.5 Flash-Lite and 3.6 Flash on, and will be refused; a request may not end with the model's turn) and
`thinking` (a level is an error before Gemini 3; a level and a budget together are one everywhere); the levels of each
model by docs.cloud.google.com `models/guides/gemini-3-8-flash`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.providers.foreign_json import Item

LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_NAME = re.compile(r"gemini-(?:(?P<major>\d+)(?:\.(?P<minor>\d+))?-)?(?P<rest>.+)")
_FIRST_WITH_LEVELS = (3, 0)
# From here on answers are drawn by settings of the model's own; Flash-Lite began earlier.
_OWN_DRAW, _OWN_DRAW_LITE = (3, 6), (3, 5)
_LAST_MINIMAL_FLASH = (3, 6)
# `gemini-flash-latest` and the like stand for the newest; `gemini-robotics-er-1.5-preview` says nothing of itself.
_LATEST, _NEWEST = "-latest", (1000, 0)


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one kind take.

    Attributes:
        generation: As (3, 5); None for a model of another name, which gets whatever is set.
        lite: It is a Flash-Lite.
        pro: It is a Pro.
    """

    generation: tuple[int, int] | None = None
    lite: bool = False
    pro: bool = False

    @classmethod
    def of(cls, model: str) -> Family:
        """Return the family of a model.

        Args:
            model: Its name, with or without `models/`.
        """
        found = _NAME.fullmatch(model.removeprefix("models/").lower())
        if found is None:
            return cls()
        rest = found["rest"]
        if not found["major"] and not rest.endswith(_LATEST):
            return cls()
        generation = (int(found["major"]), int(found["minor"] or 0)) if found["major"] else _NEWEST
        return cls(generation, lite="flash-lite" in rest, pro=rest.startswith("pro"))

    @property
    def draws_by_itself(self) -> bool:
        """Say whether it takes no temperature, and no request that ends with its own turn."""
        first = _OWN_DRAW_LITE if self.lite else _OWN_DRAW
        return self.generation is not None and self.generation >= first

    @property
    def takes_levels(self) -> bool:
        """Say whether it is told by a level how much to think."""
        return self.generation is None or self.generation >= _FIRST_WITH_LEVELS

    @property
    def takes_budgets(self) -> bool:
        """Say whether it is told by a number of tokens how much to think; from Gemini 3 on for a while still."""
        return not self.draws_by_itself

    @property
    def levels(self) -> tuple[str, ...]:
        """Return the levels that it knows."""
        late = self.generation is not None and self.generation > _LAST_MINIMAL_FLASH
        return LEVELS[1:] if self.pro or (late and not self.lite) else LEVELS

    def thinking(self, options: Mapping[str, Any]) -> Item:
        """Return its `thinkingConfig`: of a budget and a level only what it takes, the level first.

        Args:
            options: `thinking_budget` (tokens; 0 is none, -1 the model's choice), `thinking_level` (`low`, `high`, …).
        """
        budget, level = options.get("thinking_budget"), options.get("thinking_level")
        if level and self.takes_levels:
            return {"thinkingLevel": str(level).upper()}
        return {"thinkingBudget": int(budget)} if budget is not None and self.takes_budgets else {}

    def problems(self, options: Mapping[str, Any], *, model: str, where: str) -> Iterator[Problem]:
        """Yield what an account's options ask of a model that it refuses or leaves aside.

        Args:
            options: Of the account.
            model: The model's name.
            where: Names the options.
        """
        budget, level = options.get("thinking_budget"), str(options.get("thinking_level") or "").upper()
        if level and level not in (self.levels if self.takes_levels else LEVELS):
            known = self.levels if self.takes_levels else LEVELS
            what = f"{model} knows no thinking_level {options['thinking_level']!r}"
            yield Problem(where=where, what=what, fix=f"one of: {', '.join(known).lower()}")
        elif level and not self.takes_levels and budget is None:
            what, fix = f"{model} takes no thinking_level", "set thinking_budget, in tokens; 0 is none"
            yield Problem(where=where, what=what, fix=fix)
        if budget is not None and not self.takes_budgets and not level:
            what, fix = f"{model} takes no thinking_budget", f"set thinking_level: {', '.join(self.levels).lower()}"
            yield Problem(where=where, what=what, fix=fix)
        if self.draws_by_itself:
            what = (
                f"{model} draws answers by settings of its own: temperature and top_p have no effect and are not sent"
            )
            yield Problem(where="--model", what=what, severity="warning")
