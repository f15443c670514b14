"""The training runs of this machine: their folders, and the tasks that have them trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from broker.errors import BrokerError, RefusedError, StoreError, WorkerError
from broker.jobs.blocking import blocking
from broker.jobs.codec import dump, load
from broker.jobs.records import Intent
from broker.worker.durable import new_folder, publish, write_json
from broker.worker.lane import Stopper
from broker.worker.locks import FileLock
from broker.worker.runfolder import ENDED, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.providers.contract import ProviderContext
    from broker.worker.session import Stop

_PREFIX = "run-"
# Ends of its process without a new checkpoint in between, after which a run is given up.
_DEATHS = 3
_STATES: dict[Stop, str] = {"cancel": "cancelled", "pause": "paused", "shutdown": "interrupted"}


class Runs:
    """Runs by handle id."""

    def __init__(self, context: ProviderContext, resolve: Callable[[str], str]) -> None:
        """Keep what is needed to start training.

        Args:
            context: Workers, artifacts, folders, the task group.
            resolve: Returns what to load for a model's name.
        """
        self._context = context
        self._resolve = resolve
        self._root = context.data_dir / context.name / "runs"
        self._active: dict[str, Stopper] = {}
        self._ended: dict[str, anyio.Event] = {}
        self._again: set[str] = set()
        self._unwritten: dict[str, dict[str, str]] = {}

    def folder(self, handle_id: str) -> RunFolder:
        """Return the folder of a run, there or not.

        Args:
            handle_id: `run-` and the intent's key.
        """
        return RunFolder(self._root / handle_id.removeprefix(_PREFIX))

    def intent(self, handle_id: str) -> Intent:
        """Return what was asked for.

        Args:
            handle_id: Of a run that exists.
        """
        return load(Intent, self.folder(handle_id).spec())

    def find(self, intent: Intent) -> str | None:
        """Return the handle id of an intent, when its run was created."""
        handle_id = _PREFIX + intent.key
        return handle_id if (self.folder(handle_id).root / "status.json").exists() else None

    async def create(self, intent: Intent) -> str:
        """Write the run's folder, as a whole or not at all, and begin.

        Args:
            intent: What is asked.

        Raises:
            StoreError: The disk is full or read-only; nothing is left behind.
        """
        handle_id = _PREFIX + intent.key
        if self.find(intent) is None:
            await blocking(_write, self.folder(handle_id), intent)
        self.start(handle_id)
        return handle_id

    def start(self, handle_id: str) -> None:
        """Have a run trained, from its last checkpoint; does nothing when this broker already does."""
        if handle_id not in self._active:
            self._active[handle_id] = Stopper()
            self._ended[handle_id] = anyio.Event()
            self._context.tasks.start_soon(self._train, handle_id, name=f"train {handle_id}")

    def state(self, handle_id: str) -> dict[str, Any]:
        """Return a run's status, told as `interrupted` when nobody trains a run that has not ended.

        Args:
            handle_id: Of a run that exists.
        """
        run = self.folder(handle_id)
        idle = handle_id not in self._active and not run.busy()
        status = run.status()  # read after the look at the locks: who just let go has written before
        if handle_id in self._unwritten:
            return {**status, "state": "failed", "error": self._unwritten[handle_id]}
        if idle and status["state"] in ("queued", "running"):
            return {**status, "state": "interrupted"}
        stopper = self._active.get(handle_id)
        if stopper is not None and stopper.reason is None and status["state"] in ("paused", "interrupted"):
            return {**status, "state": "queued"}  # told to go on; its process has not begun yet
        return status

    async def stop(self, handle_id: str, reason: Stop) -> None:
        """Ask for the end or a pause of a run, whoever trains it.

        Args:
            handle_id: Of a run that exists.
            reason: `cancel` or `pause`.

        Raises:
            RefusedError: It has ended and cannot be paused.
        """
        run = self.folder(handle_id)
        if run.status()["state"] in ENDED:
            if reason == "pause":
                raise RefusedError("the run has ended; there is nothing to pause", where=handle_id)
        elif handle_id in self._active:
            self._again.discard(handle_id)
            self._active[handle_id].stop(reason)
        elif run.busy():
            await blocking(run.set_wish, reason)
        else:
            await blocking(run.set_status, _STATES[reason])

    async def resume(self, handle_id: str) -> None:
        """Go on with a paused or interrupted run; does nothing when it runs.

        Args:
            handle_id: Of a run that exists.

        Raises:
            RefusedError: It has ended.
        """
        run = self.folder(handle_id)
        if run.status()["state"] in ENDED:
            raise RefusedError(f"the run has ended ({run.status()['state']}); submit it again", where=handle_id)
        stopper = self._active.get(handle_id)
        if stopper is not None:
            if stopper.reason is not None:  # it is about to stop: go on as soon as it has
                self._again.add(handle_id)
            return
        if run.busy() and run.status()["state"] in ("queued", "running"):
            return
        if run.wish() == "cancel":  # the process that should have seen it is gone
            await blocking(run.set_status, "cancelled")
            return
        await blocking(run.set_wish, None)
        self.start(handle_id)

    async def aclose(self) -> None:
        """Stop everything at its next step, saved."""
        self._again.clear()
        for stopper in self._active.values():
            stopper.stop("shutdown")
        for event in list(self._ended.values()):
            await event.wait()

    async def _train(self, handle_id: str) -> None:
        run = self.folder(handle_id)
        lock = FileLock(run.owner_lock)
        self._unwritten.pop(handle_id, None)
        try:
            if await _acquire(lock):
                await self._call(handle_id, run)
        except OSError as error:  # not even the status can be written: it is kept here until somebody resumes the run
            self._unwritten[handle_id] = {"kind": "disk", "message": str(error), "fix": "free some space and resume"}
        finally:
            lock.release()
            self._active.pop(handle_id, None)
            self._ended.pop(handle_id).set()
        if handle_id in self._again and run.status()["state"] not in ENDED:
            self._again.discard(handle_id)
            await self.resume(handle_id)

    async def _call(self, handle_id: str, run: RunFolder) -> None:
        stopper = self._active[handle_id]
        try:
            args = await blocking(self._arguments, handle_id)
            await self._context.workers.call("train", args, stopper=stopper)
        except WorkerError as error:
            await blocking(note_death if error.kind == "died" else _failed, run, error)
        except BrokerError as error:
            await blocking(_failed, run, error)
        if stopper.reason is not None:  # whatever came in between, the last word of a person counts
            await blocking(_settle, run, _STATES[stopper.reason])

    def _arguments(self, handle_id: str) -> dict[str, Any]:
        spec = self.intent(handle_id).spec
        held_out = spec.validation
        return {
            "run": str(self.folder(handle_id).root),
            "model": self._resolve(spec.model),
            "train": str(self._context.artifacts.path(spec.train.sha256)),
            "validation": str(self._context.artifacts.path(held_out.sha256)) if held_out else None,
            "method": str(spec.method),
            "parameters": dump(dict(spec.parameters)),
            "seed": spec.seed,
            "data": {"name": spec.train.name, "sha256": spec.train.sha256, "rows": spec.train.rows},
        }


async def _acquire(lock: FileLock) -> bool:
    """Take a lock that a mere look (`held`) may hold for a moment."""
    for _ in range(20):
        if await blocking(lock.acquire):
            return True
        await anyio.sleep(0.05)
    return False


def _write(run: RunFolder, intent: Intent) -> None:
    try:
        draft = new_folder(run.root)
        write_json(draft / "spec.json", dump(intent))
        RunFolder(draft).set_status("queued")
        publish(draft, run.root)
    except OSError as error:
        raise StoreError(
            f"the run's folder cannot be written: {error.strerror or error}",
            where=str(run.root),
            fix="free some space, or set BROKER_DATA_DIR to another disk",
        ) from error


def _settle(run: RunFolder, state: str) -> None:
    """Write the state that was asked for, where the process did not: it had not begun, had just stopped, or died."""
    if run.status()["state"] not in {*ENDED, state}:
        run.set_status(state)


def _failed(run: RunFolder, error: BrokerError) -> None:
    if run.status()["state"] not in ENDED:
        kind = error.kind if isinstance(error, WorkerError) else type(error).__name__
        run.set_status("failed", error=_words(error, kind))


def note_death(run: RunFolder, error: WorkerError) -> None:
    """Note that the process died. The run goes on from its last checkpoint, unless it dies at the same place again."""
    status = run.status()
    if status["state"] in ENDED:
        return
    step = max((path.name for path in run.checkpoints.glob("step-*")), default="")
    deaths = status.get("deaths", 0) + 1 if status.get("died_after") == step else 1
    state = "failed" if deaths >= _DEATHS else "interrupted"
    run.set_status(state, error=_words(error, "died"), deaths=deaths, died_after=step)


def _words(error: BrokerError, kind: str) -> dict[str, str]:
    return {"kind": kind, "message": error.message, "fix": error.fix, "where": error.where}
