"""The command line: what a person types and sees. Only this package prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the `broker` command and exit with its code."""
    from broker.cli.app import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
