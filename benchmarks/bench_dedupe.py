"""Embeddings and exact de-duplication (cosine above 0.8 with anything accepted before), at 10,000 and 100,000.

    python benchmarks/bench_dedupe.py [--all]

- Questions of the sandbox, embedded by the sandbox's encoder: most are asked again in other words, few are accepted.
- Random vectors of 768 numbers, the size of the paper's encoder: all are accepted, so every pair is compared. This is
  the worst case, and it grows with the square; beyond a few hundred thousand an index has to propose candidates.

Each case is a process of its own, with its own number of threads; memory is the most that it held. `--all` adds the
100,000 vectors on a single thread (minutes).
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 2_000  # items of one call, as a pipeline hands them over
DIMENSIONS = 768


def report(name: str, chunks: Iterator[tuple[Any, list[str]]], embedded: Callable[[], float] | None = None) -> None:
    """De-duplicate what comes and print one line."""
    from broker.synthesis.dedupe import Dedupe

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    judge = Dedupe()
    count, seconds, cpu_s, dimensions = 0, 0.0, 0.0, 0
    for vectors, ids in chunks:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        judge.admit(vectors, ids)
        seconds, cpu_s = seconds + time.perf_counter() - begun, cpu_s + time.process_time() - cpu_begun
        count, dimensions = count + len(ids), len(vectors[0])
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # Embedding brings torch along, whose memory is not what is asked here.
    last = f"embedded in {embedded():5.1f} s" if embedded else f"{more / 1e6:4.2f} GB"
    print(
        f"{name} {count:7,} × {dimensions:3}: {seconds:6.1f} s on {os.environ['OPENBLAS_NUM_THREADS']} thread(s), "
        f"{cpu_s:6.1f} s of CPU, {count / seconds:7,.0f}/s, {len(judge):7,} accepted, {last}",
        flush=True,
    )


def random_vectors(count: int) -> Iterator[tuple[Any, list[str]]]:
    import numpy as np

    draw = np.random.default_rng(713)
    for start in range(0, count, CHUNK):
        yield draw.standard_normal((CHUNK, DIMENSIONS), dtype=np.float32), [str(start + i) for i in range(CHUNK)]


def questions(count: int) -> None:
    """Embed questions by the worker's op, then judge them."""
    from broker.sandbox import encoder_dir
    from broker.sandbox import rows as sandbox_rows
    from broker.settings import load_settings
    from broker.worker.ops.embed import embed
    from broker.worker.session import Session

    logging.disable(logging.WARNING)
    folder = str(encoder_dir(load_settings().cache_dir))
    texts = [row["messages"][-2]["content"] for row in sandbox_rows("casual", count, 0, "all")]
    took = 0.0

    def chunks() -> Iterator[tuple[Any, list[str]]]:
        nonlocal took
        for start in range(0, count, CHUNK):
            begun = time.perf_counter()
            vectors = embed({"model": folder, "texts": texts[start : start + CHUNK]}, Session())["vectors"]
            took += time.perf_counter() - begun
            yield vectors, [str(start + i) for i in range(len(vectors))]

    report("questions     ", chunks(), lambda: took)


def ensure_encoder() -> None:
    import anyio

    from broker.sandbox.making import ensure_encoder as ensure
    from broker.settings import load_settings
    from broker.worker.pool import WorkerPool

    async def make() -> None:
        async with anyio.create_task_group() as tasks:
            with tempfile.TemporaryDirectory() as folder:
                workers = WorkerPool(Path(folder), tasks)
                try:
                    await ensure(load_settings().cache_dir, workers)
                finally:
                    await workers.aclose()

    anyio.run(make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also 100,000 random vectors on one thread")
    parser.add_argument("--case", nargs=2, metavar=("KIND", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        kind, count = options.case[0], int(options.case[1])
        if kind == "questions":
            questions(count)
        else:
            report("random vectors", random_vectors(count))
        return
    ensure_encoder()
    many = os.cpu_count() or 1
    cases = [("questions", 10_000, many), ("questions", 100_000, many), ("random", 10_000, 1), ("random", 10_000, many)]
    cases += [("random", 100_000, threads) for threads in ([1, many] if options.all else [many])]
    for kind, count, threads in cases:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, __file__, "--case", kind, str(count)], env=environment, check=True)


if __name__ == "__main__":
    main()
