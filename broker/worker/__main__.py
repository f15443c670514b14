"""Entry of the torch process: `python -m broker.worker`. Started by the `WorkerPool`, not by people."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from broker.worker.child import Child


def main() -> None:
    """Keep stdout for the protocol, then serve."""
    parser = argparse.ArgumentParser(prog="python -m broker.worker")
    parser.add_argument("--device")
    parser.add_argument("--lock-dir", type=Path)
    options = parser.parse_args()
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # whatever a library prints goes to the log
    child = Child(source, sink, device=options.device, lock_dir=options.lock_dir)
    # Ctrl-C in the terminal is the broker's business; a plain `kill` saves and ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: child.shut_down())
    child.run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is saved and told; taking torch down in good order would take a second more


if __name__ == "__main__":
    main()
