"""Reads stored JSON into records without pydantic, whose import alone is longer than `broker jobs` may take.

It trusts what it reads: the store wrote it. A test holds it to the same results as `broker.jobs.codec`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.jobs.records import Failure
from broker.jobs.spec import (
    DatasetRef,
    Decoding,
    EvaluateSpec,
    Method,
    ModelRef,
    PromptPolicy,
    RowFormat,
    SynthesizeSpec,
    TuneSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def read(kind: type[T], data: Any) -> T:
    """Build a record from the JSON that the store wrote.

    Args:
        kind: One of the records that are kept as JSON.
        data: The JSON data.
    """
    return cast("T", _READERS[kind](data))


def _with(data: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    return {**data, **changed}


def _dataset(data: Mapping[str, Any]) -> DatasetRef:
    return DatasetRef(**_with(data, format=RowFormat(data["format"])))


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(cast("list[str]", value)) if isinstance(value, list) else value for name, value in data.items()}


def _tune(data: Mapping[str, Any]) -> TuneSpec:
    fields = _with(
        data,
        train=_dataset(data["train"]),
        validation=_dataset(data["validation"]) if data["validation"] else None,
        method=Method(data["method"]),
        parameters=_values(data["parameters"]),
    )
    return TuneSpec(**fields)


def _evaluate(data: Mapping[str, Any]) -> EvaluateSpec:
    fields = _with(
        data,
        validation=_dataset(data["validation"]),
        model=ModelRef(**data["model"]) if data["model"] else None,
        policy=PromptPolicy(**data["policy"]),
        decoding=Decoding(**data["decoding"]),
        metrics=tuple(data["metrics"]),
    )
    return EvaluateSpec(**fields)


def _synthesize(data: Mapping[str, Any]) -> SynthesizeSpec:
    return SynthesizeSpec(**_with(data, options=_values(data["options"])))


def _failure(data: Mapping[str, Any]) -> Failure:
    return Failure(**_with(data, at=datetime.fromisoformat(data["at"]) if data["at"] else None))


_READERS: dict[type, Callable[[Any], object]] = {
    TuneSpec: _tune,
    EvaluateSpec: _evaluate,
    SynthesizeSpec: _synthesize,
    ModelRef: lambda data: ModelRef(**data),
    Decoding: lambda data: Decoding(**data),
    Failure: _failure,
}
