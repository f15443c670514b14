"""A thousand jobs on one event loop: how long, and how busy the processor is while nothing happens.

Run: python benchmarks/bench_scheduler.py [--jobs 1000]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import anyio

from broker.api import Broker, ExperimentRequest, TuneRequest
from broker.jobs.states import State
from broker.settings import load_settings

IDLE_S = 5.0


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _settings(folder: Path, steps: int) -> object:
    options = {"steps": steps}
    account = {"kind": "fake", "poll_s": 1.0, "options": options}
    return load_settings(overrides={"data_dir": folder, "cache_dir": folder / "cache", "providers": {"fake": account}})


async def measure(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = folder / "train.jsonl"
        turn = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
        rows.write_text(json.dumps(turn) + "\n")
        tunings = tuple(TuneRequest(provider="fake", train=str(rows), seed=seed) for seed in range(count))
        async with Broker(_settings(folder, steps=10**9)) as broker:  # type: ignore[arg-type]
            begun, cpu = time.monotonic(), _cpu_s()
            await broker.start(await broker.plan(ExperimentRequest(name="bench", tunings=tunings, again=True)))
            # Looked at from outside, as a person would.
            while (await broker.count()).get(State.RUNNING, 0) < count:  # noqa: ASYNC110
                await anyio.sleep(0.1)
            started_s, start_cpu_s = time.monotonic() - begun, _cpu_s() - cpu
            idle_cpu = _cpu_s()
            await anyio.sleep(IDLE_S)
            idle = (_cpu_s() - idle_cpu) / IDLE_S
        async with Broker(_settings(folder, steps=2)) as broker:  # type: ignore[arg-type]
            begun = time.monotonic()
            await broker.wait(experiment="bench")
            finished_s = time.monotonic() - begun
    return {
        "jobs": count,
        "all_running_s": round(started_s, 2),
        "cpu_ms_per_job": round(1000 * start_cpu_s / count, 2),
        "cpu_share_while_running": round(idle, 3),
        "restart_to_all_done_s": round(finished_s, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    print(json.dumps(anyio.run(measure, parser.parse_args().jobs), indent=2))


if __name__ == "__main__":
    main()
