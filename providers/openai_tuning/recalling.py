"""A job that was made elsewhere, as the spec that would have asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.jobs.spec import DatasetRef, Method, ParameterValue, RowFormat, TuneSpec

_METHODS = {"supervised": Method.SFT, "dpo": Method.DPO}


def spec_of(job: Mapping[str, Any], account: str) -> TuneSpec:
    """Return what a job was asked for, as far as the service tells.

    Args:
        job: The service's job object; anything in it may be null.
        account: The account's name.

    Returns:
        A spec. Its training rows have only a name (the service's file id): they are not here.
    """
    method = _mapping(job.get("method"))
    kind = _METHODS.get(str(method.get("type") or "supervised"), Method.SFT)
    inner = _mapping(_mapping(method.get(str(method.get("type")))).get("hyperparameters"))
    rows = DatasetRef(
        sha256="",
        name=str(job.get("training_file") or "unknown"),
        format=RowFormat.PREFERENCE if kind is Method.DPO else RowFormat.CHAT,
        rows=0,
        bytes=0,
        tokens=0,
        longest_tokens=0,
    )
    return TuneSpec(
        provider=account,
        model=str(job.get("model") or "unknown"),
        train=rows,
        method=kind,
        parameters=_values({**_mapping(job.get("hyperparameters")), **inner}),
        seed=int(job.get("seed") or 0),
        suffix=job.get("user_provided_suffix") or None,
        metadata={str(key): str(value) for key, value in _mapping(job.get("metadata")).items()},
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _values(given: Mapping[str, Any]) -> dict[str, ParameterValue]:
    return {name: value for name, value in given.items() if isinstance(value, int | float | str)}
