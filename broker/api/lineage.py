"""What a model was trained on, as far as the store knows: its own job, and the jobs that made what it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.api.overlaps import set_of
from broker.jobs.spec import EvaluateSpec, ModelRef, TuneSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.jobs.spec import Spec
    from broker.jobs.store.protocol import Store


def trained_on(store: Store, specs: Mapping[str, Spec]) -> dict[str, list[str]]:
    """Return the sets (`set_of`) that went into each evaluated model (blocking).

    Args:
        store: Knows the jobs that are stored.
        specs: Of the jobs at hand, stored or not, by id.
    """
    lineage = Lineage(store, {job_id: spec for job_id, spec in specs.items() if isinstance(spec, TuneSpec)})
    return {job_id: lineage.sets(spec) for job_id, spec in specs.items() if isinstance(spec, EvaluateSpec)}


def makers_of(specs: Mapping[str, Spec]) -> dict[str, str]:
    """Return the first job that trains on each set.

    Args:
        specs: Of the jobs at hand, by id.
    """
    found: dict[str, str] = {}
    for job_id, spec in specs.items():
        if isinstance(spec, TuneSpec):
            found.setdefault(set_of(spec.train), job_id)
    return found


class Lineage:
    """Follows models back to their jobs. Blocking."""

    def __init__(self, store: Store, planned: Mapping[str, TuneSpec]) -> None:
        """Keep where to look.

        Args:
            store: Knows the jobs.
            planned: Jobs that are not stored yet, by id.
        """
        self._store = store
        self._planned = planned
        self._made = {_name(model): job_id for _, model, job_id in store.models() if job_id is not None}

    def sets(self, spec: EvaluateSpec) -> list[str]:
        """Return the sets (`set_of`) that went into the model of an evaluation.

        Args:
            spec: The evaluation.
        """
        job_id = spec.tune_job
        if job_id is None and spec.model is not None:
            job_id = self._made.get(_name(spec.model))
        found: dict[str, None] = {}
        seen: set[str] = set()
        while job_id is not None and job_id not in seen:
            seen.add(job_id)
            tuned = self._planned.get(job_id) or self._store.job(job_id).spec
            if not isinstance(tuned, TuneSpec):
                break
            found |= {set_of(data): None for data in (tuned.train, tuned.validation) if data is not None}
            job_id = self._made.get(_name(ModelRef(provider=tuned.provider, name=tuned.model)))
        return list(found)


def _name(model: ModelRef) -> tuple[str, str]:
    """Return what tells a tuned model from others: its adapter, or its name at its account."""
    return ("", model.adapter) if model.adapter is not None else (model.provider.partition("+")[0], model.name)
