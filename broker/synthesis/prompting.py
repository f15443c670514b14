"""Prompts are files: `prompts/NAME.md` here, or of the same name in a folder of the person's own.

A file is the user message, with `{name}` where a value of the row goes. A line of three dashes parts off a system
message before it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_PLACE = re.compile(r"\{([a-z_]+)\}")
_RULE = re.compile(r"^---\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text with places for values.

    Attributes:
        name: The file's name without its ending.
        text: As written.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Return the hash by which a row's lineage names it, 12 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def places(self) -> set[str]:
        """Return the names of the values that it wants."""
        return set(_PLACE.findall(self.text))

    def messages(self, values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
        """Return the chat messages with the values filled in; a place without a value stays as it is written.

        Args:
            values: By name.
        """
        parts = _RULE.split(self.text, maxsplit=1)
        texts = [_PLACE.sub(lambda match: _shown(values, match), part).strip() for part in parts]
        roles = ("system", "user") if len(texts) > 1 else ("user",)
        return tuple({"role": role, "content": text} for role, text in zip(roles, texts, strict=True))


def _shown(values: Mapping[str, Any], match: re.Match[str]) -> str:
    return str(values[match[1]]) if match[1] in values else match[0]


def shipped(names: Iterable[str]) -> dict[str, Prompt]:
    """Return our own prompts.

    Args:
        names: Which.
    """
    folder = files("broker.synthesis") / "prompts"
    return {name: Prompt(name=name, text=(folder / f"{name}.md").read_text(encoding="utf-8")) for name in names}


def overridden(prompts: Mapping[str, Prompt], folder: Path) -> dict[str, Prompt]:
    """Return prompts with those of a person's folder in the place of ours.

    Args:
        prompts: Ours.
        folder: Holds `NAME.md` for those that are to be replaced.

    Raises:
        SpecError: No such folder, a file that no prompt is called by, or a place that this prompt does not know.
    """
    found = sorted(folder.glob("*.md"))
    problems = [_unknown_name(path, prompts) for path in found if path.stem not in prompts]
    if not found:
        problems.append(Problem(where=str(folder), what="holds no prompt", fix=f"write {_names(prompts)} there"))
    own = {path.stem: Prompt(name=path.stem, text=path.read_text(encoding="utf-8")) for path in found}
    for name in own.keys() & prompts.keys():
        extra = own[name].places - prompts[name].places
        problems += [_unknown_place(folder / f"{name}.md", place, prompts[name]) for place in sorted(extra)]
    if problems:
        raise SpecError(problems)
    return {**prompts, **own}


def _names(prompts: Mapping[str, Prompt]) -> str:
    return " or ".join(f"{name}.md" for name in prompts)


def _unknown_name(path: Path, prompts: Mapping[str, Prompt]) -> Problem:
    return Problem(where=str(path), what="this pipeline has no such prompt", fix=f"it has {_names(prompts)}")


def _unknown_place(path: Path, place: str, ours: Prompt) -> Problem:
    known = ", ".join(f"{{{name}}}" for name in sorted(ours.places))
    return Problem(where=str(path), what=f"nothing can be filled in for {{{place}}}", fix=f"there is {known}")
