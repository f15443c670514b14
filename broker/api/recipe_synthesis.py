"""The part of a recipe that has its training rows made: `[[synthesis]]`, named as `synthesis:NAME/FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from broker.api.synthesis import SynthesisRequest
from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.jobs.spec import ParameterValue

# Begins the name of a file that a recipe has made itself.
SYNTHESIS = "synthesis:"


class RecipeSynthesis(BaseModel):
    """Rows to be made. Every key that is none of these is an option of the pipeline."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    provider: str
    rows: int = Field(ge=1)
    model: str | None = None
    pipeline: str = "qa"
    source: str | None = None
    output: str | None = None
    prompts: str | None = None
    encoder: str | None = None
    seed: int = 0
    budget_usd: float | None = Field(default=None, ge=0)
    batch: bool = False

    def folder(self, root: Path) -> Path:
        """Return where its files go.

        Args:
            root: The recipe's folder.
        """
        return (root / Path(self.output or self.name).expanduser()).resolve()

    def request(self, root: Path, *, encoder: str | None, again: bool) -> SynthesisRequest:
        """Return it in the common form.

        Args:
            root: The recipe's folder, where relative paths begin.
            encoder: The recipe's own.
            again: Make new rows even if the same ones exist.
        """
        return SynthesisRequest(
            provider=self.provider,
            model=self.model,
            pipeline=self.pipeline,
            source=_rooted(self.source, root),
            rows=self.rows,
            output=str(self.folder(root)),
            options={name: _value(value) for name, value in (self.model_extra or {}).items()},
            prompts=_rooted(self.prompts, root),
            encoder=self.encoder or encoder,
            seed=self.seed,
            budget_usd=self.budget_usd,
            batch=self.batch,
            again=again,
            label=self.name,
        )


def made_file(source: str, syntheses: Sequence[RecipeSynthesis], root: Path) -> str:
    """Return the path of a file that the recipe has made.

    Args:
        source: `synthesis:NAME/FILE`, or `synthesis:NAME` for its `train.jsonl`.
        syntheses: Of the recipe.
        root: The recipe's folder.

    Raises:
        SpecError: No synthesis is called so.
    """
    name, _, file = source.removeprefix(SYNTHESIS).partition("/")
    found = next((one for one in syntheses if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in syntheses) or "none"
        fix = f"known: {known}; add [[synthesis]] with name = {name!r}"
        raise SpecError([Problem(where=source, what=f"no synthesis is called {name!r}", fix=fix)])
    return str(found.folder(root) / (file or "train.jsonl"))


def _rooted(path: str | None, root: Path) -> str | None:
    return None if path is None else str((root / Path(path).expanduser()).resolve())


def _value(value: Any) -> ParameterValue:
    return tuple(str(item) for item in cast("list[object]", value)) if isinstance(value, list) else value
