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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_PLACE = re.compile(r"\{([a-z_]+)\}")
_RULE = re.compile(r"^---\s*$", re.MULTILINE)
# What a prompt cannot do without: otherwise every answer would be paid for nothing.
_NEEDED = {
    "question": ("text",),
    "conversational": ("answer",),
    "simplify": ("answer",),
    "human-like": ("question",),
    "formal": ("question",),
    "conversation": ("persona", "scenario"),
}


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
    """Return our own prompts, as far as there are any of these names.

    Args:
        names: Which.
    """
    folder = files("broker.synthesis") / "prompts"
    ours = {name: folder / f"{name}.md" for name in names}
    return {
        name: Prompt(name=name, text=file.read_text(encoding="utf-8")) for name, file in ours.items() if file.is_file()
    }


def prompts_of(names: Sequence[str], folder: Path | None = None) -> dict[str, Prompt]:
    """Return the prompts of a pipeline: ours, with those of a person's folder in their place.

    Args:
        names: All that the pipeline asks with.
        folder: Holds `NAME.md` for those that are to be replaced, or do not come with the broker.

    Raises:
        SpecError: No such folder, a file that no prompt is called by, one that cannot be read, a place that this prompt
            does not know, one that it cannot do without, or a prompt that is nowhere.
    """
    ours = shipped(names)
    found = sorted(folder.glob("*.md")) if folder else []
    problems = [_unknown_name(path, names) for path in found if path.stem not in names]
    if folder and not found:
        problems.append(Problem(where=str(folder), what="holds no prompt", fix=f"write {_names(names)} there"))
    own: dict[str, Prompt] = {}
    for path in found:
        try:
            own[path.stem] = Prompt(name=path.stem, text=path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(where=str(path), what=f"cannot be read: {error}", fix="save it as UTF-8 text"))
            continue
        problems += _misplaced(path, own[path.stem], ours.get(path.stem))
    for name in names:
        if name not in ours and name not in own:
            fix = f"--prompts DIR, with {name}.md in it"
            problems.append(
                Problem(where="--prompts", what=f"the pipeline asks with {name}.md, and it is nowhere", fix=fix)
            )
    if problems:
        raise SpecError(problems)
    return {**ours, **own}


def _misplaced(path: Path, own: Prompt, ours: Prompt | None) -> list[Problem]:
    """Return what is wrong with the places of a person's prompt."""
    if not own.text.strip():
        return [Problem(where=str(path), what="the file is empty", fix="write the prompt, or remove the file")]
    if ours is None:
        return []
    known = ", ".join(f"{{{name}}}" for name in sorted(ours.places))
    extra = [
        Problem(where=str(path), what=f"nothing can be filled in for {{{place}}}", fix=f"there is {known}")
        for place in sorted(own.places - ours.places)
    ]
    lacking = [
        Problem(where=str(path), what=f"the model would not see {{{place}}}", fix=f"write {{{place}}} where it belongs")
        for place in _NEEDED.get(own.name, ())
        if place not in own.places
    ]
    return extra + lacking


def _names(names: Iterable[str]) -> str:
    return " or ".join(f"{name}.md" for name in names)


def _unknown_name(path: Path, names: Iterable[str]) -> Problem:
    return Problem(where=str(path), what="this pipeline has no such prompt", fix=f"it has {_names(names)}")
