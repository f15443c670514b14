"""Random faults, kills and restarts: `python benchmarks/chaos.py [COUNT] [--seed N] [--workers N]`.

Broker processes die by `kill -9` at named steps or at any moment, before a real server process that loses answers,
fails after creating, answers late, resets connections, and lists late. Each scenario is drawn from a seed, printed when
it fails, so that it can be run again alone: `python benchmarks/chaos.py 1 --seed SEED`. Prints how many jobs were made
twice and how many were lost; both must be 0.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.chaos.run import run_all
from tests.chaos.scenarios import chance, named


def show(verdict: dict[str, Any], number: int, total: int) -> None:
    """Print trouble at once, and how far it is now and then."""
    if verdict["trouble"]:
        print(f"{verdict['name']}: {verdict['trouble']}", flush=True)
    if number % 50 == 0:
        print(f"{number} of {total}", flush=True)


def main() -> int:
    """Run and print the counts; return 1 when anything was made twice or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=1000, help="random scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()
    begun = time.monotonic()
    scenarios = [*(named() if args.count > 1 else []), *map(chance, range(args.seed, args.seed + args.count))]
    verdicts = run_all(scenarios, workers=args.workers, show=show)
    sums = {name: sum(one[name] for one in verdicts) for name in ("duplicates", "lost", "parked", "kills")}
    troubled = [one["name"] for one in verdicts if one["trouble"]]
    print(f"{len(verdicts)} scenarios, {sums['kills']} brokers killed, {time.monotonic() - begun:.0f} s")
    print(f"duplicates: {sums['duplicates']}")
    print(f"lost jobs:  {sums['lost']}")
    print(f"parked for a person (the server had swallowed the request, and has no such job): {sums['parked']}")
    if troubled:
        print(f"with trouble: {', '.join(troubled)}")
    return 1 if troubled or sums["duplicates"] or sums["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
