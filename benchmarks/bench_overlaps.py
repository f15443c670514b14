"""How long it takes to look for validation prompts in all training data: 1,000 prompts, 50 sets of 10,000 rows.

Usage: python benchmarks/bench_overlaps.py [SETS] [ROWS]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from broker.api.overlaps import OverlapFinder
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import store_dataset
from broker.jobs.ids import new_job_id
from broker.jobs.records import Experiment, NewJob
from broker.jobs.rows import ChatRow, Dataset
from broker.jobs.spec import RowFormat, TuneSpec
from broker.jobs.states import JobKind
from broker.jobs.store import open_store

LETTERS = "etaoinshrdlucmfwypvbgkqjxz"
COMMON = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 0.2, 0.2, 0.2, 0.1]


def vocabulary() -> list[str]:
    random_ = random.Random(0)
    return ["".join(random_.choices(LETTERS, weights=COMMON, k=random_.randint(2, 9))) for _ in range(3000)]


def dataset(words: list[str], rows: int, seed: int) -> Dataset:
    random_ = random.Random(seed)
    prompts = [" ".join(random_.choices(words, k=random_.randint(8, 25))) for _ in range(rows)]
    made = (
        ChatRow(messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": "So."}), line=line)
        for line, prompt in enumerate(prompts, 1)
    )
    return Dataset(name=f"{seed}.jsonl", format=RowFormat.CHAT, rows=tuple(made))


def timed(name: str, finder: OverlapFinder, judge: Dataset, artifacts: Artifacts) -> None:
    ref = store_dataset(judge, artifacts)
    wall, cpu = time.perf_counter(), time.process_time()
    finder.find(judge, ref, [])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:36} {wall:7.2f} s {cpu:7.2f} s of CPU", flush=True)


def main(sets: int, rows: int) -> None:
    words = vocabulary()
    with tempfile.TemporaryDirectory() as folder:
        artifacts = Artifacts(Path(folder) / "artifacts")
        store = open_store(f"sqlite:///{folder}/broker.db")
        store.add_experiment(Experiment(name="bench", created_at=datetime.now(UTC)))
        for seed in range(sets):
            train = store_dataset(dataset(words, rows, seed), artifacts)
            spec = TuneSpec(provider="fake", model="m", train=train)
            store.add_jobs("bench", [NewJob(id=new_job_id(JobKind.TUNE), spec=spec)])
        finder = OverlapFinder(store, artifacts, Path(folder) / "cache")
        judges = [dataset(words, 1000, sets + number) for number in (1, 2)]
        timed("no set was seen before", finder, judges[0], artifacts)
        timed("another validation set", finder, judges[1], artifacts)
        timed("the same validation set again", finder, judges[1], artifacts)
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
