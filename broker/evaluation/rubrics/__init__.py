"""Rubrics: those that come with the broker (`NAME.toml` beside this file), and anybody's own.

```toml
name = "warmth"                    # one word; the metric is then called judge:warmth
description = "Does the answer sound like a friend?"
low = 0                            # 0 and 10 when not given
high = 10
needs_expected = false             # show the judge the expected answer too
lower_is_better = false
prompt = ""                        # your own introduction in place of the broker's
source = ""                        # where the rubric is from, for people

[anchors]                          # what some scores mean; any number of them
0 = "a machine wrote it"
10 = "a friend wrote it"
```
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from broker.errors import Problem, SpecError
from broker.jobs.codec import dump
from broker.jobs.spec import Rubric

if TYPE_CHECKING:
    from collections.abc import Iterable

_HOME = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z][\w-]{0,39}")


class RubricFile(BaseModel):
    """A rubric, as written in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = Field(min_length=1)
    low: float = 0.0
    high: float = 10.0
    needs_expected: bool = False
    lower_is_better: bool = False
    prompt: str = ""
    source: str = ""
    anchors: dict[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _word(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or value == "reason":
            raise ValueError("a name is one word of letters, digits, - and _, and not `reason`")
        return value

    @model_validator(mode="after")
    def _scale(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        for key in self.anchors:
            try:
                inside = self.low <= float(key) <= self.high
            except ValueError as error:
                raise ValueError(f"the anchor {key!r} is not a number") from error
            if not inside:
                raise ValueError(f"the anchor {key} is outside the scale {self.low:g} to {self.high:g}")
        return self

    def rubric(self) -> Rubric:
        """Return the value."""
        anchors = sorted((float(score), " ".join(meaning.split())) for score, meaning in self.anchors.items())
        plain = self.model_dump(exclude={"anchors", "description", "prompt"})
        description, prompt = (" ".join(text.split()) for text in (self.description, self.prompt))
        return Rubric(**plain, anchors=tuple(anchors), description=description, prompt=prompt)


def shipped() -> list[str]:
    """Return the names of the rubrics that come with the broker."""
    return sorted(path.stem for path in _HOME.glob("*.toml"))


def read_rubric(path: Path) -> Rubric:
    """Read a rubric file (blocking).

    Args:
        path: A TOML file.

    Raises:
        SpecError: It is missing, is not TOML, or is no rubric; every problem at once.
    """
    try:
        return RubricFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).rubric()
    except OSError as error:
        problems = [Problem(where=str(path), what=f"cannot be read: {error.strerror}", fix="name a rubric file")]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems = [Problem(where=str(path), what=f"is not TOML: {error}", fix="docs/metrics.md has an example")]
    except ValidationError as error:
        problems = [
            Problem(
                where=f"{path} {'.'.join(map(str, item['loc']))}".rstrip(),
                what=item["msg"].removeprefix("Value error, "),
                fix="docs/metrics.md says what a rubric holds",
            )
            for item in error.errors()
        ]
    raise SpecError(problems)


def find_rubric(name: str, given: Iterable[Rubric] = ()) -> Rubric:
    """Return the rubric that `judge:NAME` means.

    Args:
        name: The name of a given or a shipped rubric, or a TOML file.
        given: Rubrics that an evaluation brings with it; they come first.

    Raises:
        SpecError: There is none, or its file is wrong.
    """
    for rubric in given:
        if rubric.name == name:
            return rubric
    if name in shipped():
        return read_rubric(_HOME / f"{name}.toml")
    if name.endswith(".toml"):
        return read_rubric(Path(name).expanduser())
    known = shipped()
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean judge:{near[0]}? " if near else ""
    what = f"no rubric is called {name!r}" if name else "a judge needs a rubric"
    known_names = ", ".join(f"judge:{one}" for one in known)
    raise SpecError(
        [Problem(where=f"metric judge:{name}".rstrip(":"), what=what, fix=f"{hint}{known_names}, or judge:FILE.toml")]
    )


def fingerprint(rubric: Rubric) -> str:
    """Return a hash of everything in a rubric that a judge is told."""
    told = {key: value for key, value in dump(rubric).items() if key not in ("source", "lower_is_better")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]
