"""How long the command takes to begin, as a multiple of `import typer, rich` alone (goal: at most 3)."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

ROUNDS = 7
COMMANDS = {
    "import typer, rich": ["-c", "import typer, rich"],
    "broker --help": ["-m", "broker", "--help"],
    "broker jobs": ["-m", "broker", "jobs"],
    "broker status": ["-m", "broker", "status"],
    "broker results --list": ["-m", "broker", "results", "--list"],
    "broker models": ["-m", "broker", "models"],
}


def cpu_s(arguments: list[str]) -> float:
    """Return the CPU seconds of a command: the wall clock would measure the neighbours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BROKER_DATA_DIR"] = folder
        best = {name: min(cpu_s(arguments) for _ in range(ROUNDS)) for name, arguments in COMMANDS.items()}
    bare = best["import typer, rich"]
    for name, seconds in best.items():
        print(f"{name:<24} {seconds * 1000:6.0f} ms of CPU  {seconds / bare:4.1f} ×")


if __name__ == "__main__":
    main()
