"""Runs scenarios in several processes at once. The command for it is `benchmarks/chaos.py`."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.scenarios import Scenario

ROOT = Path(__file__).parents[2]
Show = Callable[[dict[str, Any], int, int], None]


def run_all(
    scenarios: Iterable[Scenario], *, workers: int = 4, show: Show = lambda _verdict, _number, _total: None
) -> list[dict[str, Any]]:
    """Run scenarios in several processes; return their verdicts.

    Args:
        scenarios: What to run.
        workers: Processes, each with a server of its own.
        show: Called with each verdict, its number, and how many there will be.
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


def _work(waiting: queue.SimpleQueue[Scenario], verdicts: list[dict[str, Any]], total: int, show: Show) -> None:
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
            show(verdict, len(verdicts), total)
        process.stdin.close()
