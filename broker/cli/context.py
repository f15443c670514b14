"""What every command needs: the settings, the store for a quick look, and the broker for real work."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

    from anyio import CancelScope

    from broker.api import Broker
    from broker.jobs.store.protocol import Store, StoreView
    from broker.settings import Settings

T = TypeVar("T")
# A bar that was drawn has hidden it.
_SHOW_CURSOR = b"\x1b[?25h\n"


@dataclass(slots=True)
class State:
    """The options given before the command.

    Attributes:
        config: Settings file in place of the project's.
        overrides: Settings by name.
        color: When to use colors, if it was said.
    """

    config: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    color: str | None = None


STATE = State()


class StoppedError(Exception):
    """A person pressed Ctrl-C once, and everything was brought to rest."""


def settings() -> Settings:
    """Load all settings; print their warnings."""
    from broker.settings import load_settings

    loaded = load_settings(config=STATE.config, overrides=STATE.overrides)
    OUT.color = STATE.color or loaded.color
    for warning in loaded.warnings:
        OUT.warn(warning)
    return loaded


@contextmanager
def look() -> Generator[StoreView]:
    """Open the store only to read: without an SQL toolkit where that is possible."""
    from broker.jobs.store.glance import glance
    from broker.settings import locate

    url = locate(config=STATE.config, overrides=STATE.overrides).store_url
    view = glance(url)
    if view is None:
        with store() as view:
            yield view
        return
    try:
        yield view
    finally:
        view.close()


@contextmanager
def store() -> Generator[Store]:
    """Open the store without an event loop and without the other settings."""
    from broker.jobs.store import open_store
    from broker.settings import locate

    opened = open_store(locate(config=STATE.config, overrides=STATE.overrides).store_url)
    try:
        yield opened
    finally:
        opened.close()


def run(
    work: Callable[[Broker], Awaitable[T]], *, drive: bool, report: Callable[[str, int, int], None] | None = None
) -> T:
    """Open the broker, do some work with it, close it; Ctrl-C once is gentle, twice is not.

    Args:
        work: What to do.
        drive: Drive jobs meanwhile.
        report: Receives (text, done, total) of long steps.

    Returns:
        What `work` returned.

    Raises:
        StoppedError: Ctrl-C was pressed; local work has reached a checkpoint.
    """
    import anyio

    from broker.api import Broker

    loaded = settings()

    async def main() -> T:
        found: list[T] = []
        working = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, working, drive)
            async with Broker(loaded, drive=drive, report=report or _silent) as broker:
                # Ctrl-C ends this alone: the broker then puts down what it drives while its providers still answer.
                with working:
                    found.append(await work(broker))
            tasks.cancel_scope.cancel()
        if not found:
            raise StoppedError
        return found[0]

    try:
        return anyio.run(main)
    except BaseExceptionGroup as group:
        raise plain(group) from None


def _silent(_text: str, _done: int, _total: int) -> None:
    pass


async def _listen(scope: CancelScope, drives: bool) -> None:
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            break
    local = ": local work goes to its next checkpoint" if drives else ""
    OUT.note(f"\nstopping{local} (Ctrl-C again stops at once)")
    # The loop's own handlers are gone now: the next signal ends the process, whatever it is doing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_now)
    scope.cancel()


def _exit_now(_number: int, _frame: object) -> None:
    if os.isatty(2):
        os.write(2, _SHOW_CURSOR)
    os._exit(EXIT_INTERRUPTED)


def plain(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error of a group, or the first of several that are all meant for people, else the group."""
    errors = list(_leaves(group))
    plain = len(errors) == 1 or all(isinstance(error, BrokerError) for error in errors)
    return errors[0] if plain else group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the errors of groups within groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", error))
        else:
            yield error
