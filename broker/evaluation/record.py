"""What an evaluation found: frozen values, and their file `scores.json`, from which tables are made again at any time.

```
folder of an evaluation
├── answers.jsonl     one line per answer, as they came
├── judgements.jsonl  one line per reply of a judge, if there is one
└── scores.json       EvaluationResult: per metric the summary and the value of each validation row
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from broker.errors import StoreError
from broker.evaluation.metrics import Direction, Kind
from broker.jobs.codec import dump, load
from broker.jobs.durable import guarded, make_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

SCORES = "scores.json"
ANSWERS = "answers.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One metric of one model.

    Attributes:
        name: The metric's name.
        label: Head of its column.
        unit: `%`, `words`, …; proportions are stored as 0..1 and shown as percentages.
        direction: Which way is better.
        kind: Proportion, mean or ratio.
        version: What made the numbers.
        values: One per validation row, in order; None for failed rows and for rows without a score.
        parts: Of kind ratio: how many parts each row has, in order; 0 for rows without a value.
        value: Mean of the values that exist (weighted, of kind ratio); None when there is none.
        low: Lower end of the 95 % interval; None when it cannot be had (fewer than two values).
        high: Upper end.
        interval: How the interval was made.
        scored: Rows with a value.
        unscored: Rows with an answer but without a value.
        failure: Why the whole metric could not be computed; then there are no values.
        remarks: Warnings to show under the table.
        details: Further numbers by name, such as how far judgements agree.
        breakdown: Counts by name, where the metric looks at several kinds of things: IFEval's
            `{"punctuation:no_comma": {"total": 66, "strict": 60, "loose": 62}, …}`.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    kind: Kind
    version: str
    values: tuple[float | None, ...] = ()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    scored: int = 0
    unscored: int = 0
    failure: str | None = None
    remarks: tuple[str, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict[str, float])
    parts: tuple[float, ...] = ()
    breakdown: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """One model's answers to the frozen validation set, scored.

    Attributes:
        job_id: The evaluation.
        model: Label of the model that was asked.
        n: Rows of the validation set; every one was asked.
        failed: Rows without an answer; they have no value in any metric and are never counted as zero.
        empty: Answers without a single word.
        cut: Answers that ended because they reached the token limit.
        endings: Of answers that ended otherwise than by themselves or at the token limit, the provider's words for it
            (`tool_calls`, `refusal`, `content_filter`), with counts.
        failures: Reasons of the failed rows, with counts.
        metrics: By name, in the order asked for.
        input_tokens: Tokens of all prompts.
        output_tokens: Tokens of all answers.
        seconds: Wall-clock seconds of asking, all sessions together.
        tokens_per_s: Output tokens by seconds; None when unknown.
        cost_usd: What the answers and the judge cost.
        judge_cost_usd: What the judge cost of that.
        conditions: Under which they were made: `validation`, `validation_sha256`, `policy`, `system`, `decoding`,
            `precision`, `encoder`, `judge`.
    """

    job_id: str
    model: str
    n: int
    failed: int = 0
    empty: int = 0
    cut: int = 0
    endings: Mapping[str, int] = field(default_factory=dict[str, int])
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    metrics: Mapping[str, MetricResult] = field(default_factory=dict[str, MetricResult])
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    tokens_per_s: float | None = None
    cost_usd: float = 0.0
    judge_cost_usd: float = 0.0
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])


def save_result(result: EvaluationResult, folder: Path) -> Path:
    """Write `scores.json`: to a temporary name, synced, then renamed.

    Args:
        result: What was found.
        folder: The evaluation's folder.

    Raises:
        StoreError: The disk refused; an older file is intact.
    """
    path = folder / SCORES
    text = json.dumps({"format": FORMAT, **dump(result)}, ensure_ascii=False, allow_nan=False)
    with guarded(path, "write the scores"):
        make_folder(folder)
        write_whole(path, text.encode())
    return path


def load_result(folder: Path) -> EvaluationResult | None:
    """Read `scores.json` of an evaluation's folder; None when there is none yet.

    Raises:
        StoreError: The file is not one of ours.
    """
    path = folder / SCORES
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("format", None)
        return load(EvaluationResult, data)
    except FileNotFoundError:
        return None
    except (ValidationError, ValueError, AttributeError) as error:
        raise StoreError(
            "not a file of scores", where=str(path), fix=f"delete {path} and score the answers again"
        ) from error
