"""Whose fault it is: what the provider raised goes on as it is, what a pipeline's own code raised is told as that."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from broker.errors import BrokerError, UserError
from broker.synthesis import asking

if TYPE_CHECKING:
    from collections.abc import Generator

_FIX = "mend it and give the same command again: stored answers are used"


@contextmanager
def told_apart(pipeline: str) -> Generator[None]:
    """Raise what the block raises; a fault in the code of a pipeline as an error that names its place.

    Args:
        pipeline: Name of the pipeline that runs in the block.

    Raises:
        UserError: Everything that was raised is the pipeline's own.
    """
    try:
        yield
    except Exception as error:
        own = _own(error)
        if own is None:
            raise
        what = f"the pipeline {pipeline} failed: {type(own).__name__}: {own} ({_place(own)})"
        raise UserError(what, where="--pipeline", fix=_FIX) from error


def _own(error: BaseException) -> BaseException | None:
    """Return the pipeline's own error, unless anything else went wrong as well."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        found = [_own(one) for one in group.exceptions]
        return None if None in found else found[0]
    return None if isinstance(error, BrokerError) or _asked(error) else error


def _place(error: BaseException) -> str:
    """Return the file and line that a person can mend: the innermost one that is not of this folder."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    innermost = (theirs or frames)[-1]
    return f"{Path(innermost.filename).name}:{innermost.lineno}"


def _asked(error: BaseException) -> bool:
    """Say whether an error came by way of asking."""
    return any(frame.filename == asking.__file__ for frame in traceback.extract_tb(error.__traceback__))
