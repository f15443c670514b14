"""A broker in a process of its own over the fake provider, which stops or kills itself at a named write to its store.

Usage: broker_process.py DATA_DIR LEASE_S GRACE_S [CALL:NTH:SIGNAL]

CALL is a method of the store, as `record_send`: right after its NTH call was committed the process sends itself the
signal. It ends when every job rests.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio

import broker.jobs.store as stores
from broker.api import Broker
from broker.jobs.store import open_store
from broker.settings import load_settings


class FatalStore:
    """The real store, until the moment has come."""

    def __init__(self, store: Any, ledger: Path, call: str, nth: int, number: signal.Signals) -> None:
        self._store, self._ledger = store, ledger
        self._call, self._left, self._signal = call, nth, number

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._counted(method) if name == self._call else method

    def _counted(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                self._end()
            return result

        return call

    def _end(self) -> None:
        # A stopped process that holds a lock would stop the others, too: that is not what is tried here.
        with self._store._database._turn, self._ledger.open("ab") as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            fcntl.flock(ledger, fcntl.LOCK_UN)
            os.kill(os.getpid(), self._signal)
            time.sleep(0.5)  # the signal reaches the other threads a little later


async def main(data: Path, lease_s: float, grace_s: float) -> None:
    account = {"kind": "fake", "options": {"grace_s": grace_s, "steps": 2, "poll_s": 0.2}}
    overrides = {"data_dir": data, "cache_dir": data / "cache", "lease_s": lease_s, "providers": {"fake": account}}
    async with Broker(load_settings(overrides=overrides)) as broker:
        await broker.wait()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if len(sys.argv) > 4:
        call, nth, number = sys.argv[4].split(":")
        fatal = (folder / "fake" / "ledger.jsonl", call, int(nth), signal.Signals[number])
        stores.open_store = lambda *args, **kwargs: FatalStore(open_store(*args, **kwargs), *fatal)
    anyio.run(main, folder, float(sys.argv[2]), float(sys.argv[3]))
