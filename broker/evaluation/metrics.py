"""What a metric is, and how one is found by its name.

A metric is a small object: it gets the answered rows and gives one number per row, or None where there is none to
give. Four ways to name one, in recipes and with `--metric`:

- a built-in (`BUILT_IN`), some with an argument: `conversational:70` counts Flesch scores of 70 and more,
  `judge:empathy` has a model judge each answer;
- one registered in this process with the `metric` decorator;
- an entry point of the group `broker.metrics`: a `Metric`, or a factory `(MetricContext, argument) -> Metric`;
- `module:attribute`, the same kind of object.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from inspect import iscoroutine
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from anyio import to_thread

from broker.errors import BrokerError, MissingExtraError, UnknownNameError, UserError
from broker.jobs.spec import JudgeSpec, ModelRef

if TYPE_CHECKING:
    from broker.evaluation.judging.values import Judgement, Question

ENTRY_POINT_GROUP = "broker.metrics"
DEFAULT_METRICS = ("similarity", "length")
TONE_METRICS = ("conversational", "flesch", "similarity", "length")
# The paper's encoder (arXiv 2507.04889, 2.3).
PAPER_ENCODER = "Alibaba-NLP/gte-modernbert-base"


class Direction(StrEnum):
    """Which way is better; `none` where neither is, and then no model is called best."""

    HIGHER = "higher"
    LOWER = "lower"
    NONE = "none"


class Cost(StrEnum):
    """What a metric costs, beside the answers."""

    FREE = "free"
    LOCAL = "a model on this machine"
    PAID = "paid per row"


class Kind(StrEnum):
    """How the values of the rows become one number, and which interval and test belong to it."""

    PROPORTION = "proportion"  # values 0 or 1: percentage, Wilson, McNemar
    MEAN = "mean"  # any number: mean, BCa bootstrap, permutation
    # Shares 0 to 1 of rows with more or fewer `parts`: percentage of all parts, bootstrap and permutation
    # by row, for the parts of one row succeed and fail together.
    RATIO = "ratio"

    @property
    def percentage(self) -> bool:
        """Say whether values are 0 to 1 and shown as percentages."""
        return self is not Kind.MEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One answered row, as a metric sees it. Rows whose request failed are not shown to metrics.

    Attributes:
        id: Of the validation row.
        prompt: The messages that were sent, system message included.
        expected: The expected answer; empty when the set has none.
        answer: The model's answer; may be empty.
        finish_reason: Why it ended (`stop`, `length`, …).
        extra: Other keys of the validation row.
    """

    id: str
    prompt: tuple[Mapping[str, Any], ...]
    expected: str
    answer: str
    finish_reason: str = "stop"
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Workers(Protocol):
    """What a metric asks of the worker processes (`broker.worker.pool.WorkerPool`)."""

    async def call(self, op: str, args: dict[str, Any]) -> dict[str, Any]:
        """Run an op in a worker process and return its result."""
        ...


class Judging(Protocol):
    """What a metric asks of the model that judges (`broker.evaluation.judging.asking.Judge`)."""

    @property
    def spec(self) -> JudgeSpec:
        """Return the model and how it is asked."""
        ...

    async def ask(self, questions: Sequence[Question]) -> list[Judgement]:
        """Return a judgement for each question, in order; each is paid for once, also after a stop."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricContext:
    """What a metric may use.

    Attributes:
        workers: The torch processes; None when there are none (then a metric that needs them cannot be computed).
        encoder: Hub id or folder of the sentence encoder.
        encoder_name: What people call it, where that is not `encoder` itself (a folder of the cache).
        model: The model that gave the answers, where it is known.
        loaded: Returns what an op of the workers takes to load that model; None when it is not on this machine.
        judge: The model that judges answers; None when none was named.
    """

    workers: Workers | None = None
    encoder: str = PAPER_ENCODER
    encoder_name: str = ""
    model: ModelRef | None = None
    loaded: Callable[[], Awaitable[dict[str, Any]]] | None = None
    judge: Judging | None = None


@runtime_checkable
class Metric(Protocol):
    """A function of (prompt, expected answer, answer) with a unit and a direction.

    Optional attributes are read after `score`: `remarks` (texts), warnings to show under the table; `details` (numbers
    by name), such as how far judgements agree; `parts` (of kind ratio), how many each row has, in order; `breakdown`
    (counts by name), as `{"no_comma": {"total": 66, "strict": 60, "loose": 62}}`.

    Attributes:
        name: Unique; the key in files.
        label: The head of its column.
        unit: `%`, `words`, `points`, …, or empty.
        direction: Which way is better.
        kind: How rows become one number.
        version: Whatever changes its numbers; read after `score`.
        cost: What computing it costs.
        needs: What it needs beyond the rows: `encoder`, `judge`, `expected`, `weights`.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    kind: Kind
    version: str
    cost: Cost
    needs: tuple[str, ...]

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Return one number per row, in order; None where a row has none (never a stand-in number)."""
        ...


RowFunction = Callable[[Scored], float | bool | None]


@dataclass(slots=True, kw_only=True)
class RowMetric:
    """A metric made of a plain function of one row; runs in a thread."""

    function: RowFunction
    name: str
    label: str
    unit: str = ""
    direction: Direction = Direction.HIGHER
    kind: Kind = Kind.MEAN
    version: str = "1"
    cost: Cost = Cost.FREE
    needs: tuple[str, ...] = ()
    remark: Callable[[Sequence[Scored]], Sequence[str]] | None = None
    remarks: tuple[str, ...] = ()

    async def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """Call the function on every row."""
        return await to_thread.run_sync(self._score, rows)

    def _score(self, rows: Sequence[Scored]) -> list[float | None]:
        values: list[float | None] = []
        wrong: list[str] = []
        for row in rows:
            try:
                values.append(_number(self.function(row)))
            except BrokerError:  # of ours, about the whole of it: a package that is missing
                raise
            except Exception as error:  # a metric may be anybody's code
                wrong.append(f"row {row.id}: {type(error).__name__}: {error}")
        if wrong:
            told = "; ".join(wrong[:_NAMED_ROWS]) + ("; …" if len(wrong) > _NAMED_ROWS else "")
            raise UserError(f"{len(wrong)} of {len(rows)} rows cannot be scored ({told})")
        self.remarks = tuple(self.remark(rows)) if self.remark else ()
        return values


# A metric that fails names so many rows.
_NAMED_ROWS = 3


def _number(value: object) -> float | None:
    """Return what a function gave, if it is a number or nothing."""
    if iscoroutine(value):
        value.close()
        raise TypeError("the function is async; give an object with `async score(rows)` instead")
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"{value!r} is no number")
    number = float(cast("float", value))
    if not isfinite(number):
        raise ValueError(f"{number} is no finite number")
    return number


MetricFactory = Callable[[MetricContext, str], Metric]
BUILT_IN: Mapping[str, str] = {
    "conversational": "broker.evaluation.readability:conversational",
    "flesch": "broker.evaluation.readability:mean_flesch",
    "smog": "broker.evaluation.grades:smog",
    "fog": "broker.evaluation.grades:fog",
    "similarity": "broker.evaluation.similarity:Similarity",
    "length": "broker.evaluation.matching:length",
    "exact-match": "broker.evaluation.matching:exact_match",
    "extracted-match": "broker.evaluation.matching:extracted_match",
    "judge": "broker.evaluation.judging.scores:RubricJudge",
    "perplexity": "broker.evaluation.perplexity:Perplexity",
    "ifeval": "broker.evaluation.ifeval.metric:InstructionFollowing",
}
_registered: dict[str, RowMetric] = {}


def metric(
    name: str,
    *,
    label: str = "",
    unit: str = "",
    direction: str = "higher",
    kind: str = "mean",
    version: str = "1",
) -> Callable[[RowFunction], RowMetric]:
    """Make a metric of a function of one row and register it in this process.

    Args:
        name: Its name in `metrics=[...]`.
        label: Head of its column; the name when empty.
        unit: Shown after its numbers; `%` makes sense for proportions.
        direction: `higher`, `lower` or `none`.
        kind: `mean`, or `proportion` for a function that returns True or False.
        version: Change it whenever the function's numbers change.

    Returns:
        A decorator; the decorated name is the metric.
    """

    def register(function: RowFunction) -> RowMetric:
        _registered[name] = RowMetric(
            function=function,
            name=name,
            label=label or name,
            unit=unit or ("%" if kind == Kind.PROPORTION else ""),
            direction=Direction(direction),
            kind=Kind(kind),
            version=version,
        )
        return _registered[name]

    return register


def metric_names() -> list[str]:
    """Return the names of all metrics that can be had without `module:attribute`."""
    return sorted({*BUILT_IN, *_registered, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def open_metric(name: str, context: MetricContext) -> Metric:
    """Return a metric by its name.

    Args:
        name: As in the head of this module.
        context: What it may use.

    Raises:
        UnknownNameError: Nobody offers this metric; the message names the known ones and the nearest.
        MissingExtraError: Its package is not installed.
    """
    if name in _registered:
        return _registered[name]
    base, _, argument = name.partition(":")
    points = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    target = {**points, **BUILT_IN}.get(base)
    if target is None and argument:
        target, argument = name, ""
    if target is None:
        raise _unknown(name)
    return _build(_load(target, name), context, argument, name)


def check_metrics(names: Sequence[str]) -> None:
    """Raise `UnknownNameError` for the first name that is no metric, before anything is asked."""
    for name in names:
        open_metric(name, MetricContext())


def _load(target: str, name: str) -> object:
    module, _, attribute = target.partition(":")
    try:
        return cast("object", getattr(import_module(module), attribute))
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise MissingExtraError(f"metric {name} needs {error.name}", fix=f"pip install {error.name}") from error
        raise _unknown(name) from error
    except AttributeError as error:
        raise _unknown(name) from error


def _build(found: object, context: MetricContext, argument: str, name: str) -> Metric:
    ready = isinstance(found, Metric) and not isinstance(found, type)
    made = found if ready else cast("MetricFactory", found)(context, argument)
    if not isinstance(made, Metric):
        parts = "name, label, unit, direction, kind, version, cost, needs, score"
        raise BrokerError(f"{name} is not a metric: it lacks one of {parts}")
    return made


def _unknown(name: str) -> UnknownNameError:
    known = metric_names()
    near = difflib.get_close_matches(name.partition(":")[0], known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UnknownNameError(
        f"no metric is called {name!r}", fix=f"{hint}known: {', '.join(known)}, or module:attribute of your own"
    )
