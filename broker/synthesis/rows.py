"""What flows through a pipeline: rows, what was done for each, and why one is not good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.providers.contract import Answer


@dataclass(slots=True)
class Trail:
    """What one row cost and how it came about; all versions of the row share it.

    Attributes:
        attempts: Answers asked for, by prompt.
        prompts: Hash of each prompt that was used.
        scores: What gates measured.
        input_tokens: Of all its requests.
        output_tokens: Of all its answers.
        cost_usd: Of all its answers, where the price is known.
    """

    attempts: dict[str, int] = field(default_factory=dict[str, int])
    prompts: dict[str, str] = field(default_factory=dict[str, str])
    scores: dict[str, float] = field(default_factory=dict[str, float])
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def count(self, prompt: str, answer: Answer) -> None:
        """Add one answer, whatever it was good for.

        Args:
            prompt: Name of the prompt.
            answer: What came.
        """
        self.attempts[prompt] = self.attempts.get(prompt, 0) + 1
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens
        self.cost_usd += answer.cost_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row on its way.

    Attributes:
        id: The same in every run of the job: it decides the seeds of the row's requests.
        source: Where it comes from (`title`, `index`, `sha256`).
        data: What it holds so far, by name.
        trail: What was done for it.
    """

    id: str
    source: Mapping[str, Any] = field(default_factory=dict[str, Any])
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    trail: Trail = field(default_factory=Trail)

    def __getitem__(self, name: str) -> Any:
        """Return one of its values."""
        return self.data[name]

    def having(self, **values: Any) -> Row:
        """Return the row with more values, or others."""
        return replace(self, data={**self.data, **values})


class RejectedError(Exception):
    """A row is not good enough. It is counted and kept with its reason, never passed on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep why.

        Args:
            reason: A short word by which rejections are counted.
            detail: What was found, for people.
        """
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that was not good enough, as it was then."""

    row: Row
    reason: str
    detail: str = ""


def lineage(row: Row, *, pipeline: str, model: str) -> dict[str, Any]:
    """Return where a row comes from, as it stands beside the row in files.

    Args:
        row: The row.
        pipeline: Name of the pipeline.
        model: The model that was asked.
    """
    trail = row.trail
    return {
        "id": row.id,
        "source": dict(row.source),
        "pipeline": pipeline,
        "model": model,
        "prompts": dict(trail.prompts),
        "attempts": dict(trail.attempts),
        "scores": {name: round(value, 4) for name, value in trail.scores.items()},
        "input_tokens": trail.input_tokens,
        "output_tokens": trail.output_tokens,
        "cost_usd": round(trail.cost_usd, 8),
    }
