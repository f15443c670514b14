"""Which validation set an experiment has, also where an older broker stored it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import UnknownNameError
from broker.jobs.datasets import frozen_hash
from broker.jobs.spec import EvaluateSpec
from broker.jobs.states import JobKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import Experiment, Job
    from broker.jobs.spec import DatasetRef
    from broker.jobs.store.protocol import Store


def own_set(experiment: Experiment, jobs: Iterable[Job], artifacts: Artifacts) -> str | None:
    """Return the hash of an experiment's validation set.

    Older brokers stored the hash of the rows alone, which stays in the store; what the first evaluation answered says
    which set is meant.

    Args:
        experiment: As stored.
        jobs: Its jobs, oldest first.
        artifacts: Holds the validation sets.
    """
    stored = experiment.validation_sha256
    sets = [job.spec.validation for job in jobs if isinstance(job.spec, EvaluateSpec)]
    return next((frozen_hash(one, artifacts) for one in sets if one.sha256 == stored), stored)


class FrozenSets:
    """Names experiments by their validation sets (blocking)."""

    def __init__(self, store: Store, artifacts: Artifacts) -> None:
        """Keep what knows the experiments and what holds the sets."""
        self._store = store
        self._artifacts = artifacts

    def default_name(self, validation: DatasetRef | None) -> str:
        """Return the name of a set's experiment: the one that an older broker gave it, where it did."""
        if validation is None:
            return "no-validation"
        frozen = frozen_hash(validation, self._artifacts)
        older, name = (f"{Path(validation.name).stem}-{sha256[:6]}" for sha256 in (validation.sha256, frozen))
        return older if self.as_stored(older, validation) != frozen else name

    def as_stored(self, name: str, validation: DatasetRef | None) -> str | None:
        """Return what an experiment calls its validation set in the store, if it is this very set; else its hash."""
        frozen = frozen_hash(validation, self._artifacts) if validation is not None else None
        try:
            found = self._store.experiment(name)
        except UnknownNameError:
            return frozen
        jobs = self._store.jobs(experiment=name, kinds=[JobKind.EVALUATE])
        return found.validation_sha256 if own_set(found, jobs, self._artifacts) == frozen else frozen
