"""One torch process and the calls made to it."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import anyio
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream

from broker.errors import BrokerError, MissingExtraError, WorkerError
from broker.worker.protocol import LineBuffer, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from anyio.abc import Process, TaskGroup

    from broker.worker.session import Stop

_LOG_BYTES = 4_000_000
_TAIL_LINES = 15
_MEMORY_FIX = (
    "the system killed it, most often because memory ran out: use a smaller --batch-size or --max-length, "
    "--precision int8 or nf4, or a smaller model; what was saved is kept"
)


class Stopper:
    """Handed to a call so that others can stop the op (before it starts, while it waits or runs) and pass it notes."""

    def __init__(self) -> None:
        """Begin unused."""
        self.reason: Stop | None = None
        self._tell: Callable[[Stop], None] | None = None
        self._write: Callable[[dict[str, Any]], None] | None = None
        self._notes: list[dict[str, Any]] = []

    def stop(self, reason: Stop) -> None:
        """Ask for a stop; the call returns when the op has stopped. A cancel is never weakened.

        Args:
            reason: Why; ops that can be continued save their work for `pause` and `shutdown`.
        """
        if self.reason != "cancel":
            self.reason = reason
            if self._tell is not None:
                self._tell(reason)

    def note(self, note: dict[str, Any]) -> None:
        """Tell the op something; it hears it between two of its steps, and not at all when it is about to end.

        Args:
            note: JSON data that the op knows. What comes before it starts is kept for it.
        """
        if self._write is not None:
            self._write(note)
        else:
            self._notes.append(note)

    def listen(
        self, tell: Callable[[Stop], None] | None, write: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """Set who is told of a stop from now on, and who passes notes on."""
        self._tell, self._write = tell, write
        if write is not None:
            for note in self._notes:
                write(note)
            self._notes.clear()


class _Call:
    def __init__(self, on_event: Callable[[dict[str, Any]], None] | None) -> None:
        self.done = anyio.Event()
        self.left = False  # the op still runs, but nobody waits for it
        self._on_event = on_event
        self._result: dict[str, Any] = {}
        self._error: Exception | None = None

    def event(self, event: dict[str, Any]) -> None:
        if self._on_event is None or self.done.is_set():
            return
        try:
            self._on_event(event)
        except Exception as error:  # the caller's own function: the caller gets it, not the reader
            self.left = True
            self.finish(error=error)

    def finish(self, result: dict[str, Any] | None = None, error: Exception | None = None) -> None:
        if not self.done.is_set():
            self._result, self._error = result or {}, error
            self.done.set()

    def outcome(self) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        return self._result


class Lane:
    """One process at a time, restarted by the next call after it ended; calls wait for their turn in order."""

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        tasks: TaskGroup,
        patience_s: float,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            name: Of the lane.
            command: Starts the process.
            env: Its environment.
            log: Receives what it prints.
            tasks: Owns the task that reads from it.
            patience_s: How long a stop may take, seconds.
        """
        self.name = name
        self._command = list(command)
        self._env = dict(env)
        self._log = log
        self._tasks = tasks
        self._patience_s = patience_s
        self._turn = anyio.Lock()
        self._writing = anyio.Lock()
        self._process: Process | None = None
        self._ended = anyio.Event()
        self._log_start = 0
        self._calls: dict[int, _Call] = {}
        self._count = 0

    @property
    def pid(self) -> int | None:
        """Return the id of the process that runs, if one does."""
        return self._process.pid if self._process is not None else None

    async def call(
        self,
        op: str,
        args: Mapping[str, Any],
        *,
        on_event: Callable[[dict[str, Any]], None] | None,
        stopper: Stopper,
    ) -> dict[str, Any]:
        """Wait for a turn, run the op, return its result. See `WorkerPool.call`."""
        if not await self._take_turn(stopper):
            return {"stopped": stopper.reason}
        try:
            return await self._run(op, args, on_event, stopper)
        finally:
            stopper.listen(None)
            self._turn.release()

    async def _take_turn(self, stopper: Stopper) -> bool:
        with CancelScope() as wait:
            stopper.listen(lambda _reason: wait.cancel())
            if stopper.reason is not None:
                return False
            await self._turn.acquire()
            stopper.listen(None)
            if stopper.reason is None:
                return True
            self._turn.release()
        return False

    async def _run(
        self,
        op: str,
        args: Mapping[str, Any],
        on_event: Callable[[dict[str, Any]], None] | None,
        stopper: Stopper,
    ) -> dict[str, Any]:
        await self._start()
        self._count += 1
        number, call = self._count, _Call(on_event)
        self._calls[number] = call

        def tell(reason: Stop) -> None:
            self._tasks.start_soon(self._stop, number, reason)

        def write(note: dict[str, Any]) -> None:
            self._tasks.start_soon(self._write, {"note": number, "data": note})

        stopper.listen(tell)
        try:
            await self._write({"call": number, "op": op, "args": dict(args)})
            stopper.listen(tell, write)
            if stopper.reason is not None:
                await self._stop(number, stopper.reason)
            await call.done.wait()
        finally:
            if not call.done.is_set():
                await self._wind_down(number, call)
            elif call.left:
                await self._stop(number, "shutdown")
            self._calls.pop(number, None)
        return call.outcome()

    async def _wind_down(self, number: int, call: _Call) -> None:
        """Stop the op of a caller that was cancelled, so that the lane is free for the next one."""
        with CancelScope(shield=True):
            await self._stop(number, "shutdown")
            with anyio.move_on_after(self._patience_s):
                await call.done.wait()
                return
            self._kill()
            await self._ended.wait()

    async def _stop(self, number: int, reason: Stop) -> None:
        if number in self._calls:
            await self._write({"stop": number, "reason": reason})

    async def _write(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        async with self._writing:
            try:
                with CancelScope(shield=True):  # half a line would garble everything after it
                    await process.stdin.send(encode(message))
            except (BrokenResourceError, ClosedResourceError):
                pass  # it has ended: the reader finds out and fails the calls

    async def _start(self) -> None:
        if self._process is not None:
            return
        with CancelScope(shield=True):  # a process that was started must get its reader
            self._process = await self._open()
            self._ended = anyio.Event()
            self._tasks.start_soon(self._read, self._process, name=f"worker {self.name}")

    async def _open(self) -> Process:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".old.log"))
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            return await anyio.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
                start_new_session=True,  # Ctrl-C in the terminal must reach the broker only
            )

    async def _read(self, process: Process) -> None:
        lines = LineBuffer()
        try:
            await self._pump(process, lines)
        finally:
            with CancelScope(shield=True):
                await self.hang_up()
                with anyio.move_on_after(self._patience_s):
                    await self._pump(process, lines)
                await self._bury(process)

    async def _pump(self, process: Process, lines: LineBuffer) -> None:
        assert process.stdout is not None
        while True:
            try:
                chunk = await process.stdout.receive()
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                return
            for message in lines.feed(chunk):
                self._receive(message)

    def _receive(self, message: dict[str, Any]) -> None:
        call = self._calls.get(message["call"])
        if call is None:
            return
        if "event" in message:
            call.event(message["event"])
        elif "result" in message:
            call.finish(message["result"])
        else:
            call.finish(error=_error(message["error"]))

    async def _bury(self, process: Process) -> None:
        """See the process off and tell its callers."""
        with anyio.move_on_after(self._patience_s if process.returncode is None else None):
            await process.wait()
        self._kill()
        code = await process.wait()
        await process.aclose()
        self._process = None
        if self._calls:
            error = self._death(code)
            for call in self._calls.values():
                call.finish(error=error)
        self._ended.set()

    def _death(self, code: int) -> WorkerError:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        fix = _MEMORY_FIX if code == -signal.SIGKILL else f"see {self._log}"
        return WorkerError(f"the torch process {how}\n{self._tail()}".rstrip(), kind="died", fix=fix)

    def _tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-_TAIL_LINES:])

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()

    async def hang_up(self) -> None:
        """Close the process's input: it stops what it does and exits."""
        if self._process is not None and self._process.stdin is not None:
            await self._process.stdin.aclose()

    async def aclose(self) -> None:
        """Hang up and wait for the end of the process, killing it when it takes too long."""
        if self._process is None:
            return
        await self.hang_up()
        with anyio.move_on_after(self._patience_s):
            await self._ended.wait()
            return
        self._kill()
        await self._ended.wait()


def _error(data: Mapping[str, str]) -> BrokerError:
    if data["kind"] == "missing_extra":
        return MissingExtraError(data["message"], fix=data["fix"], where=data["where"])
    return WorkerError(data["message"], kind=data["kind"], fix=data["fix"], where=data["where"])
