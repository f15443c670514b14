"""Exceptions become a kind, a message and a fix."""

from __future__ import annotations

import errno

import pytest

from broker.errors import WorkerError
from broker.worker.faults import fault
from broker.worker.runfolder import EventLog, RunFolder


class Response:
    def __init__(self, url: str) -> None:
        self.url = url


def raised(name: str, *bases: type[Exception], message: str = "x", **attributes: object) -> Exception:
    error: Exception = type(name, bases or (Exception,), {})(message)
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "fix"),
    [
        (MemoryError("no"), "out_of_memory", "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory", "--precision int8"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "disk", "free some space"),
        (ModuleNotFoundError("no", name="peft.tuners"), "missing_extra", "finetune-broker[local]"),
        (ModuleNotFoundError("no", name="sentence_transformers"), "missing_extra", "finetune-broker[similarity]"),
        (raised("GatedRepoError", response=Response("https://huggingface.co/a/b/resolve/main/x")), "gated", "a/b"),
        (raised("RepositoryNotFoundError"), "model_not_found", "broker models"),
        (raised("LocalEntryNotFoundError"), "offline", "--model sandbox"),
        (WorkerError("m", kind="nan_loss", fix="f"), "nan_loss", "f"),
        (ZeroDivisionError("d"), "error", "log"),
    ],
)
def test_reading(error: Exception, kind: str, fix: str) -> None:
    found = fault(error)
    assert found["kind"] == kind and fix in found["fix"]


def test_what_a_library_wraps_is_found_inside() -> None:
    outer = OSError("could not load the model")
    outer.__cause__ = raised("GatedRepoError", response=Response("https://huggingface.co/a/b/resolve/main/x"))
    assert fault(outer)["kind"] == "gated"


def test_an_event_log_drops_a_torn_tail_and_tells_each_step_once(tmp_path: object) -> None:
    from pathlib import Path

    run = RunFolder(Path(str(tmp_path)))
    log = EventLog(run)
    for step in (1, 2, 3):
        log.append({"kind": "progress", "step": step, "loss": 1.0})
    log.close()
    path = run.root / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    again = EventLog(run)
    for step in (2, 3, 4):
        again.append({"kind": "progress", "step": step, "loss": 1.0})
    again.close()
    events = run.events()
    assert [event["data"]["step"] for event in events] == [1, 2, 3, 4]
    assert [event["id"] for event in events] == ["000000", "000001", "000002", "000003"]
    assert run.events("000001") == events[2:]
