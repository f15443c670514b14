"""Random faults, kills and restarts; counts what was made twice or lost: `python benchmarks/chaos.py [COUNT]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.chaos.run import main

if __name__ == "__main__":
    sys.exit(main())
