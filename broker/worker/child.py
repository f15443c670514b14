"""The torch process: reads calls, runs one op at a time, listens for stops meanwhile."""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError
from broker.worker.faults import fault
from broker.worker.locks import waiting
from broker.worker.ops import OPS
from broker.worker.protocol import LineBuffer, encode
from broker.worker.session import Session, Stop

if TYPE_CHECKING:
    from pathlib import Path

Op = Callable[[dict[str, Any], Session], dict[str, Any]]
_UNLOCKED = {"describe"}  # ops that do not use the device


@dataclass(frozen=True, slots=True)
class _Call:
    id: int
    op: str
    args: dict[str, Any]
    session: Session


class Child:
    """One torch process, from its first call to the end of its input."""

    def __init__(self, source: int, sink: int, *, device: str | None, lock_dir: Path | None) -> None:
        """Take the two ends of the pipe.

        Args:
            source: File descriptor of the calls.
            sink: File descriptor of events and results.
            device: `cpu`, `cuda`, …; the fastest present when not given.
            lock_dir: Folder of the device locks; without one, ops do not wait for other processes.
        """
        self._source = source
        self._sink = sink
        self._device = device
        self._lock_dir = lock_dir
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._sessions: dict[int, Session] = {}
        self._writing = threading.Lock()

    def run(self) -> None:
        """Serve until the input ends and the op that runs has stopped."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        while (call := self._calls.get()) is not None:
            self._answer(call)
            self._sessions.pop(call.id, None)

    def shut_down(self) -> None:
        """Stop what runs, and end."""
        for session in list(self._sessions.values()):
            session.request_stop("shutdown")
        self._calls.put(None)

    def _listen(self) -> None:
        lines = LineBuffer()
        try:
            while chunk := os.read(self._source, 1 << 16):
                for message in lines.feed(chunk):
                    self._receive(message)
        finally:
            self.shut_down()

    def _receive(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            session = self._sessions.get(message["stop"])
            if session is not None:
                reason: Stop = message.get("reason", "cancel")
                session.request_stop(reason)
            return
        if "note" in message:
            session = self._sessions.get(message["note"])
            if session is not None:
                session.note(message["data"])
            return
        number = int(message["call"])
        session = Session(lambda event: self._send({"call": number, "event": event}), device=self._device)
        self._sessions[number] = session
        self._calls.put(_Call(number, message["op"], message["args"], session))

    def _answer(self, call: _Call) -> None:
        try:
            result = self._perform(call)
        except (Exception, KeyboardInterrupt) as error:  # the broker decides; this process must live on
            if not isinstance(error, BrokerError):
                traceback.print_exc()
            self._send({"call": call.id, "error": fault(error)})
        else:
            self._send({"call": call.id, "result": result})

    def _perform(self, call: _Call) -> dict[str, Any]:
        if call.session.stop_requested():
            return {"stopped": call.session.stop_requested()}
        op = _op(call.op)
        with self._device_lock(call) as mine:
            return op(call.args, call.session) if mine else {"stopped": call.session.stop_requested()}

    def _device_lock(self, call: _Call) -> Any:
        if self._lock_dir is None or call.op in _UNLOCKED:
            return nullcontext(enter_result=True)
        from broker.worker.devices import lock_name

        path = self._lock_dir / f"{lock_name(self._device)}.lock"
        tell = f"waiting: another process on this machine uses the device ({path.stem})"
        return waiting(path, call.session.wait_for_stop, lambda: call.session.log(tell))

    def _send(self, message: dict[str, Any]) -> None:
        data = encode(_finite(message))
        with self._writing:
            try:
                while data:
                    data = data[os.write(self._sink, data) :]
            except BrokenPipeError:
                self.shut_down()


def _op(name: str) -> Op:
    module, _, function = OPS[name].partition(":")
    if module not in sys.modules:
        # Torch and its kin bring three quarters of a million objects that stay: the collector would walk through them
        # again and again while they come (a fifth of the start), and with every full collection afterwards.
        gc.disable()
        try:
            importlib.import_module(module)
        finally:
            gc.freeze()
            gc.enable()
    op: Op = getattr(sys.modules[module], function)
    return op


def _finite(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message with NaN and infinity as null, which JSON cannot say."""
    try:
        json.dumps(message, allow_nan=False)
    except ValueError:
        plain: dict[str, Any] = json.loads(json.dumps(message), parse_constant=lambda _word: None)
        return plain
    return message
