"""The command line: what a person types and sees. Only this package prints."""

from __future__ import annotations

import gc
import sys

# What a command loads stays until it ends, and the collector would walk through it dozens of times: a sixth of the time
# of a `submit`. The default is 700 new objects.
GC_OBJECTS = 50_000


def main() -> None:
    """Run the `broker` command and exit with its code."""
    gc.set_threshold(GC_OBJECTS)
    from broker.cli.app import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
