"""The verb that compares two models, and holds gates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.api.opened import Opened
from broker.api.table import gather
from broker.errors import UnknownNameError, UserError
from broker.evaluation.prompts import expected
from broker.jobs.blocking import blocking
from broker.jobs.spec import EvaluateSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import Experiment
    from broker.jobs.spec import DatasetRef
    from broker.jobs.store.protocol import Store
    from broker.providers.contract import Answer
    from broker.results.gates import Gate
    from broker.results.pairing import Example, MetricPair, PairReport
    from broker.results.roster import Roster
    from broker.results.values import ResultRow


class Comparing(Opened):
    """Two models on the same prompts."""

    async def compare(
        self,
        left: str,
        right: str | None = None,
        *,
        experiment: str | None = None,
        metrics: Sequence[str] | None = None,
        gates: Sequence[str] = (),
        strict: bool = False,
        examples: int = 3,
    ) -> PairReport:
        """Compare two models on the prompts that both answered, and hold gates.

        Args:
            left: A: the label of a row, the name of its model, or the id (or its beginning) of a job.
            right: B, likewise; A's own base when None and it was judged.
            experiment: Where to look; the newest one that has both when None.
            metrics: Names of metrics; all when None.
            gates: As in `broker.results.gates`.
            strict: For the gates the interval decides, not the estimate.
            examples: How many of the prompts on which they differ most to show.

        Raises:
            SpecError: A gate that cannot be read or held, with place and fix.
            UserError: They cannot be compared, or nobody knows them.
        """
        from broker.results.gates import parse_gates

        read = parse_gates(gates)
        desk = _Desk(self._store, self.data_dir, self._engine.artifacts)
        found = await blocking(desk.find, left, right, experiment)
        report = await blocking(_report, found, metrics, read, strict=strict)
        return await blocking(desk.with_examples, report, examples)


class _Desk:
    """Looks models up, and the answers of those that are compared. Blocking."""

    def __init__(self, store: Store, data_dir: Path, artifacts: Artifacts) -> None:
        self._store = store
        self._data_dir = data_dir
        self._artifacts = artifacts

    def find(self, left: str, right: str | None, experiment: str | None) -> Found:
        """Return the newest experiment that has both models, and the two; or both from wherever each of them is."""
        known = [self._store.experiment(experiment)] if experiment is not None else self._store.experiments()
        if not known:
            raise UnknownNameError("there are no experiments yet", fix="broker submit --help")
        first: UserError | None = None
        for one in known:
            roster = self._roster([one])
            try:
                return roster, roster.pick(left), roster.pick(right) if right is not None else None
            except UserError as error:
                first = first or error
        assert first is not None
        if right is None or experiment is not None:
            raise first
        return self._find_apart(left, right, known, first)

    def _find_apart(self, left: str, right: str, known: Sequence[Experiment], first: UserError) -> Found:
        """Look for each model by itself: two experiments may have asked the same questions."""
        homes = [next((one for one in known if _has(self._roster([one]), name)), None) for name in (left, right)]
        found = [home for home in homes if home is not None]
        if len(found) < len(homes):
            raise first
        keys = [self._roster([home]).pick(name).key for home, name in zip(found, (left, right), strict=True)]
        both = self._roster(list({home.name: home for home in found}.values()))
        return both, both.row(keys[0]), both.row(keys[1])

    def _roster(self, experiments: Sequence[Experiment]) -> Roster:
        from broker.results.roster import make_roster

        found = [gather(self._store, self._artifacts, self._data_dir, experiment) for experiment in experiments]
        jobs = {job.id: job for each, _ in found for job in each}
        results = {key: result for _, each in found for key, result in each.items()}
        return make_roster(" and ".join(one.name for one in experiments), list(jobs.values()), results)

    def with_examples(self, report: PairReport, count: int) -> PairReport:
        """Return the report with the prompts on which the two differ most."""
        if report.right is None or not count:
            return report
        return replace(report, examples=tuple(self._examples(report.left, report.right, report.metrics, count)))

    def _examples(self, left: ResultRow, right: ResultRow, pairs: Sequence[MetricPair], count: int) -> list[Example]:
        from broker.jobs.datasets import load_dataset
        from broker.jobs.datasets.overlaps import prompt_text
        from broker.results.pairing import Example, most_different

        places = most_different(pairs, count)
        one, other = self._answers(left), self._answers(right)
        if not places or one is None or other is None or not self._artifacts.has(one[0].sha256):
            return []
        rows = load_dataset(one[0], self._artifacts).rows
        return [
            Example(
                place=place + 1,
                prompt=prompt_text(rows[place]),
                expected=expected(rows[place]),
                left=one[1][str(place)].text,
                right=other[1][str(place)].text,
                values={
                    pair.column.name: (pair.left.values[place], pair.right.values[place])
                    for pair in pairs
                    if pair.left is not None and pair.right is not None
                },
            )
            for place in places
            if str(place) in one[1] and str(place) in other[1]
        ]

    def _answers(self, row: ResultRow) -> tuple[DatasetRef, dict[str, Answer]] | None:
        """Return the validation set and the answers of a row; None where it has no evaluation."""
        from broker.evaluation.answers import read_answers
        from broker.scheduler.evaluating import evaluation_folder

        job = self._store.job(row.evaluation_job) if row.evaluation_job is not None else None
        if job is None or job.model is None or not isinstance(job.spec, EvaluateSpec):
            return None
        stored = read_answers(evaluation_folder(self._data_dir, job.id), job.spec, job.model)
        return job.spec.validation, dict(stored.answers)


Found = tuple["Roster", "ResultRow", "ResultRow | None"]


def _report(found: Found, metrics: Sequence[str] | None, gates: Sequence[Gate], *, strict: bool) -> PairReport:
    """Compute everything but the examples. No I/O."""
    from broker.results.holding import hold_all
    from broker.results.pairing import PairReport, compare_rows, warnings_of

    roster, a, b = found
    other = b or roster.base_of(a)
    if not gates:
        _require_something(roster, a, other)
    rows = [a, *([other] if other is not None else [])]
    pairs = () if other is None else compare_rows(roster, a, other, metrics)
    return PairReport(
        experiment=roster.experiment,
        left=a,
        right=other,
        metrics=pairs,
        gates=tuple(hold_all(gates, roster, a, b, strict=strict)),
        conditions=_conditions(roster, a),
        warnings=tuple(warnings_of(roster, pairs, rows)),
    )


def _has(roster: Roster, name: str) -> bool:
    try:
        roster.pick(name)
    except UserError:
        return False
    return True


def _require_something(roster: Roster, left: ResultRow, right: ResultRow | None) -> None:
    """Raise `UserError` when there is nothing to compare, or nothing to compare with."""
    from broker.results import wording

    if right is None:
        what = f"{left.label} has no base here to be compared with"
        raise UserError(what, fix=f"name another: broker compare {left.key} OTHER")
    for row in (left, right):
        if row.key not in roster.results:
            state = wording.status(row) or "not judged"
            fix = f"broker watch --experiment {roster.experiment}"
            raise UserError(f"{row.label} has no numbers yet: {state}", fix=fix)


def _conditions(roster: Roster, row: ResultRow) -> dict[str, Any]:
    result = roster.results.get(row.key)
    if result is None:
        return {}
    keys = ("validation", "validation_sha256", "decoding", "encoder")
    return {**{key: result.conditions.get(key) for key in keys}, "prompts": result.n}
