"""A local training run on disk: written by the torch process that trains it, read by every broker.

```
<intent key>/
  spec.json            the intent, as submitted; never changes
  status.json          {"state": queued|running|paused|interrupted|succeeded|failed|cancelled, "at", "error", "result"}
  events.jsonl         one event a line, {"id": "000017", "kind": …, "at": …, "data": {…}}
  wish                 "cancel" or "pause", written by a broker that does not itself train the run
  owner.lock           held by the broker that has the run in its queue
  trainer.lock         held by the torch process while it trains the run
  checkpoints/step-000012/   adapter + optimizer state
  adapter/             the result, in PEFT's format
```
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.worker.durable import write_json
from broker.worker.locks import held

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKPOINT_META = "checkpoint.json"
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    root: Path

    @property
    def owner_lock(self) -> Path:
        """Return the lock of the broker that has the run in its queue."""
        return self.root / "owner.lock"

    @property
    def trainer_lock(self) -> Path:
        """Return the lock of the process that trains the run."""
        return self.root / "trainer.lock"

    @property
    def adapter(self) -> Path:
        """Return the folder of the result."""
        return self.root / "adapter"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.root / "checkpoints"

    def busy(self) -> bool:
        """Say whether any process has the run in its queue or trains it."""
        return held(self.owner_lock) or held(self.trainer_lock)

    def spec(self) -> Any:
        """Return the intent as plain JSON data."""
        return json.loads((self.root / "spec.json").read_text(encoding="utf-8"))

    def status(self) -> dict[str, Any]:
        """Return the status.

        Raises:
            OSError: There is no such run, or it cannot be read.
        """
        data: dict[str, Any] = json.loads((self.root / "status.json").read_text(encoding="utf-8"))
        return data

    def set_status(self, state: str, **changes: Any) -> None:
        """Write a new status; what is not named stays, `error` goes.

        Args:
            state: The new state.
            changes: Other keys (`error`, `result`, `deaths`).
        """
        old = self.status() if (self.root / "status.json").exists() else {}
        now = datetime.now(UTC).isoformat()
        times = {"finished_at": now} if state in ENDED else {}
        if state == "running" and "started_at" not in old:
            times = {"started_at": now}
        write_json(self.root / "status.json", {**old, "error": None, **changes, **times, "state": state, "at": now})

    def wish(self) -> str | None:
        """Return what a broker asked of whoever trains the run."""
        try:
            return (self.root / "wish").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def set_wish(self, wish: str | None) -> None:
        """Ask whoever trains the run to stop, or take that back.

        Args:
            wish: `cancel`, `pause` or None.
        """
        path = self.root / "wish"
        if wish is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(wish, encoding="utf-8")

    def saved(self) -> list[tuple[Path, dict[str, Any]]]:
        """Return the checkpoints with what they say of themselves, oldest first."""
        paths = sorted(self.checkpoints.glob("step-*"))
        return [(path, meta) for path in paths if (meta := checkpoint_meta(path))]

    def events(self, after: str | None = None) -> list[dict[str, Any]]:
        """Return the events that came after the one with this id, oldest first; a torn last line is left out.

        Args:
            after: Id of the last event known.
        """
        path = self.root / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        start = int(after) + 1 if after else 0
        return [json.loads(line) for line in lines[start:]]


def checkpoint_meta(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says of itself; empty when it cannot be read.

    Args:
        path: The checkpoint's folder.
    """
    try:
        meta: dict[str, Any] = json.loads((path / CHECKPOINT_META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta


class EventLog:
    """Appends to the events of a run; ids are counted from 0 and never reused."""

    def __init__(self, run: RunFolder) -> None:
        """Open the log and cut a torn last line.

        Args:
            run: The run.
        """
        path = run.root / "events.jsonl"
        old = path.read_bytes() if path.exists() else b""
        whole = old[: old.rfind(b"\n") + 1]
        self._count = whole.count(b"\n")
        # Steps made again after a crash are bit-equal: they are told once only.
        self._told = max((_step(line) for line in whole.splitlines()), default=-1)
        self._file = path.open("ab")
        self._file.truncate(len(whole))

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event.

        Args:
            event: `kind` and its data.
        """
        kind = str(event["kind"])
        if kind == "progress":
            if event["step"] <= self._told:
                return
            self._told = event["step"]
        data = {key: value for key, value in event.items() if key != "kind"}
        row = {"id": f"{self._count:06d}", "kind": kind, "at": datetime.now(UTC).isoformat(), "data": data}
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self._count += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _step(line: bytes) -> int:
    event = json.loads(line)
    return int(event["data"]["step"]) if event["kind"] == "progress" else -1
