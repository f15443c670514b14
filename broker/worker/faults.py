"""Exceptions of the torch process, read into a kind, a message and a fix. Imports nothing heavy."""

from __future__ import annotations

import errno
import traceback
from typing import TYPE_CHECKING

from broker.errors import MissingExtraError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable

_EXTRAS = {"sentence_transformers": "similarity"}
_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def fault(error: BaseException) -> dict[str, str]:
    """Read an exception.

    Args:
        error: What an op raised.

    Returns:
        `kind`, `message`, `fix` and `where`, as the broker's `WorkerError` has them.
    """
    if isinstance(error, WorkerError):
        return _as(error.kind, error.message, error.fix, error.where)
    if isinstance(error, MissingExtraError):
        return _as("missing_extra", error.message, error.fix, error.where)
    for one in chain(error):
        for names, read in _READERS:
            if names & {kind.__name__ for kind in type(one).__mro__} and (found := read(one)):
                return found
    return _as("error", f"{type(error).__name__}: {error}", "the process's log has the traceback", _place(error))


def chain(error: BaseException) -> list[BaseException]:
    """Return an exception and what caused it, outermost first."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def gated(model: str) -> tuple[str, str]:
    """Return message and fix for a model that needs a licence and a token.

    Args:
        model: Hub id.
    """
    return (
        f"{model} is gated: its licence must be accepted and a Hugging Face token given",
        f"accept the licence at https://huggingface.co/{model}, make a token at https://huggingface.co/settings/tokens "
        "and set HF_TOKEN; or take an open model",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that the device or the machine has no memory left."""
    return any(
        type(one).__name__ == "OutOfMemoryError"
        or isinstance(one, MemoryError)
        or (isinstance(one, RuntimeError) and "can't allocate memory" in str(one))
        for one in chain(error)
    )


def _as(kind: str, message: str, fix: str = "", where: str = "") -> dict[str, str]:
    return {"kind": kind, "message": message, "fix": fix, "where": where}


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""


def _memory(error: BaseException) -> dict[str, str] | None:
    if not is_out_of_memory(error):
        return None
    return _as(
        "out_of_memory",
        f"out of memory: {str(error).splitlines()[0]}",
        "use a smaller --batch-size or --max-length, --gradient-checkpointing, --precision int8 or nf4, "
        "or a smaller model",
    )


def _disk(error: BaseException) -> dict[str, str] | None:
    if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
        return _as("disk", f"cannot write: {error.strerror}", "free some space and resume", str(error.filename or ""))
    return None


def _disk_of_safetensors(error: BaseException) -> dict[str, str] | None:
    if any(f"os error {number}" in str(error) for number in _DISK_ERRNOS):
        return _as("disk", f"cannot write: {error}", "free some space and try again")
    return None


def _import(error: BaseException) -> dict[str, str] | None:
    name = str(getattr(error, "name", "") or "").split(".")[0]
    if name == "broker":
        return None
    extra = _EXTRAS.get(name, "local")
    return _as(
        "missing_extra", f"the package {name or error} is not installed", f"pip install 'finetune-broker[{extra}]'"
    )


def _gated(error: BaseException) -> dict[str, str]:
    message, fix = gated(_repo(error))
    return _as("gated", message, fix)


def _unknown(error: BaseException) -> dict[str, str]:
    fix = "check the name, or give a folder; `broker models` lists some"
    return _as("model_not_found", f"no such model on the Hugging Face hub: {_repo(error)}", fix)


def _offline(_error: BaseException) -> dict[str, str]:
    return _as(
        "offline",
        "the model is not on this machine and the Hugging Face hub cannot be reached",
        "connect to the internet once to download it, or give a folder, or use the offline model: --model sandbox",
    )


def _repo(error: BaseException) -> str:
    url = str(getattr(getattr(error, "response", None), "url", "") or "")
    path = url.split("huggingface.co/", 1)[-1].split("/resolve/")[0].removeprefix("api/models/")
    return path or "the model"


_READERS: list[tuple[set[str], Callable[[BaseException], dict[str, str] | None]]] = [
    ({"OutOfMemoryError", "MemoryError", "RuntimeError"}, _memory),
    ({"ImportError"}, _import),
    ({"GatedRepoError"}, _gated),
    ({"RepositoryNotFoundError", "RevisionNotFoundError"}, _unknown),
    ({"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}, _offline),
    ({"OSError"}, _disk),
    ({"SafetensorError"}, _disk_of_safetensors),
]
