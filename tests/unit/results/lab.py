"""An experiment of any size, made of real records and real scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.evaluation import Direction, EvaluationResult, Kind, MetricResult
from broker.evaluation.metrics import RowMetric
from broker.evaluation.scoring import summarise
from broker.jobs.records import Experiment, Job
from broker.jobs.spec import DatasetRef, EvaluateSpec, ModelRef, PromptPolicy, RowFormat, TuneSpec
from broker.jobs.states import JobKind, State
from broker.results import ResultsTable, build_table

START = datetime(2026, 11, 21, tzinfo=UTC)
VALIDATION = DatasetRef(
    sha256="ab12" * 16, name="val.jsonl", format=RowFormat.CHAT, rows=40, bytes=1, tokens=1, longest_tokens=1
)
TRAIN = replace(VALIDATION, sha256="cd34" * 16, name="train.jsonl", rows=100)
CONVERSATIONAL = RowMetric(
    function=lambda _row: None,
    name="conversational",
    label="conversational (Flesch ≥ 60)",
    unit="%",
    kind=Kind.PROPORTION,
    version="textstat 0.7.8",
)
FLESCH = RowMetric(function=lambda _row: None, name="flesch", label="Flesch", version="textstat 0.7.8")
LENGTH = RowMetric(
    function=lambda _row: None, name="length", label="length", unit="words", direction=Direction.NONE, version="words"
)
SIMILARITY = RowMetric(function=lambda _row: None, name="similarity", label="similarity", version="an encoder")
METRICS = {"conversational": CONVERSATIONAL, "flesch": FLESCH, "length": LENGTH, "similarity": SIMILARITY}
Values = Sequence[float | None]


def share(passed: int, total: int = 40) -> list[float | None]:
    """Return `passed` ones, then zeros."""
    return [1.0 if i < passed else 0.0 for i in range(total)]


class Lab:
    """Collects jobs and results."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.results: dict[str, EvaluationResult] = {}
        self.experiment = Experiment(name="tone", created_at=START, validation_sha256=VALIDATION.sha256)
        self._tables: dict[tuple[int, bool], ResultsTable] = {}

    def tune(self, model: str = "sandbox", *, provider: str = "local", rows: int = 100, **fields: Any) -> Job:
        """Add a tuning job on so many rows; `fields` go to the spec or to the job."""
        number = len(self.jobs)
        of_spec: dict[str, Any] = {key: fields.pop(key) for key in ("parameters", "method", "suffix") if key in fields}
        state = fields.pop("state", State.SUCCEEDED)
        done: dict[str, Any] = {"cost_usd": 0.0, "result": {"seconds": 6.0}} if state is State.SUCCEEDED else {}
        job = Job(
            id=f"tune-{number}",
            kind=JobKind.TUNE,
            experiment="tone",
            spec=TuneSpec(provider=provider, model=model, train=replace(TRAIN, rows=rows), **of_spec),
            state=state,
            created_at=START + timedelta(seconds=number),
            updated_at=START,
            **{**done, **fields},
        )
        self.jobs.append(job)
        return job

    def evaluate(
        self,
        values: Mapping[str, Values | MetricResult] | None = None,
        *,
        tuned: Job | None = None,
        model: ModelRef | None = None,
        policy: str = "as-is",
        validation: str = VALIDATION.sha256,
        **fields: Any,
    ) -> Job:
        """Add an evaluation, with its result when `values` are given."""
        number = len(self.jobs)
        asked = None if tuned else model or ModelRef(provider="local", name="sandbox")
        spec = EvaluateSpec(
            provider=asked.provider if asked else "local" if tuned is None else tuned.provider,
            validation=VALIDATION,
            model=asked,
            tune_job=tuned.id if tuned else None,
            policy=PromptPolicy(name=policy, system=None if policy == "as-is" else f"Be {policy}."),
        )
        of_result: dict[str, Any] = {
            key: fields.pop(key) for key in ("failed", "failures", "cut", "empty", "endings") if key in fields
        }
        job = Job(
            id=f"eval-{number}",
            kind=JobKind.EVALUATE,
            experiment="tone",
            spec=spec,
            state=fields.pop("state", State.SUCCEEDED),
            created_at=START + timedelta(seconds=number),
            updated_at=START,
            **fields,
        )
        self.jobs.append(job)
        if values is not None:
            self.results[job.id] = self._result(job, spec, values, validation, of_result)
        return job

    def table(self, *, all_pairs: bool = False) -> ResultsTable:
        """Build the table, once for the same jobs."""
        key = (len(self.jobs), all_pairs)
        if key not in self._tables:
            self._tables[key] = build_table(self.experiment, self.jobs, self.results, all_pairs=all_pairs)
        return self._tables[key]

    def _result(
        self,
        job: Job,
        spec: EvaluateSpec,
        values: Mapping[str, Values | MetricResult],
        validation: str,
        counts: Mapping[str, Any],
    ) -> EvaluationResult:
        found = {
            name: each
            if isinstance(each, MetricResult)
            else summarise(METRICS[name], each, sum(value is not None for value in each))
            for name, each in values.items()
        }
        return EvaluationResult(
            job_id=job.id,
            model="m",
            n=max(len(each.values) for each in found.values()) or 40,
            metrics=found,
            seconds=2.0,
            tokens_per_s=500.0,
            conditions={
                "validation": "val.jsonl",
                "validation_sha256": validation,
                "policy": spec.policy.name,
                "system": spec.policy.system,
                "decoding": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 0},
                "precision": None,
                "encoder": None,
            },
            **counts,
        )
