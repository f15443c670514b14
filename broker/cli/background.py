"""The background broker: a process of its own that drives the store's jobs until none is left."""

from __future__ import annotations

import subprocess
import sys

from broker.cli.context import STATE
from broker.cli.output import OUT


def start_background() -> int:
    """Start a background broker on the same store; its words go to `broker.log` in the data folder.

    Returns:
        Its process id. Another one on the same store does no harm: each job is driven by one of them.
    """
    from broker.settings import locate

    folder = locate(config=STATE.config, overrides=STATE.overrides).data_dir
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--config", str(STATE.config)] if STATE.config else []
    options += ["--data-dir", str(STATE.overrides["data_dir"])] if "data_dir" in STATE.overrides else []
    with (folder / "broker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", *options, "work"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    OUT.note(f"background broker: process {process.pid}, log {folder / 'broker.log'}")
    return process.pid
