"""Random faults, kills and restarts: `python -m tests.chaos.run [COUNT] [--seed N] [--workers N]`.

Each scenario is drawn from a seed, printed when it fails, so that it can be run again alone:
`python -m tests.chaos.run 1 --seed SEED`. Prints how many jobs were made twice and how many were lost; both must be 0.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.scenarios import Scenario, chance, named

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]


def run_all(scenarios: Iterable[Scenario], *, workers: int = 4, show: bool = False) -> list[dict[str, Any]]:
    """Run scenarios in several processes; return their verdicts.

    Args:
        scenarios: What to run.
        workers: Processes, each with a server of its own.
        show: Print failures and progress as they come.
    """
    waiting: queue.SimpleQueue[Scenario] = queue.SimpleQueue()
    for scenario in scenarios:
        waiting.put(scenario)
    verdicts: list[dict[str, Any]] = []
    total = waiting.qsize()
    threads = [threading.Thread(target=_work, args=(waiting, verdicts, total, show)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


def _work(waiting: queue.SimpleQueue[Scenario], verdicts: list[dict[str, Any]], total: int, show: bool) -> None:
    command = [sys.executable, "-m", "tests.chaos.zygote"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while not waiting.empty():
            try:
                scenario = waiting.get_nowait()
            except queue.Empty:
                break
            process.stdin.write(json.dumps(asdict(scenario)) + "\n")
            process.stdin.flush()
            verdict = json.loads(process.stdout.readline())
            verdicts.append(verdict)
            if show:
                _show(verdict, len(verdicts), total)
        process.stdin.close()


def _show(verdict: dict[str, Any], number: int, total: int) -> None:
    if verdict["trouble"]:
        pass
    if number % 50 == 0:
        pass


def main(arguments: list[str] | None = None) -> int:
    """Run and print the counts; return 1 when anything was made twice or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=1000, help="random scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args(arguments)
    time.monotonic()
    scenarios = [*(named() if args.count > 1 else []), *map(chance, range(args.seed, args.seed + args.count))]
    verdicts = run_all(scenarios, workers=args.workers, show=True)
    sums = {name: sum(one[name] for one in verdicts) for name in ("duplicates", "lost", "parked", "kills")}
    troubled = [one["name"] for one in verdicts if one["trouble"]]
    if troubled:
        pass
    return 1 if troubled or sums["duplicates"] or sums["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
