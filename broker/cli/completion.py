"""What the shell completes: ids of jobs, names of experiments, accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _quietly(find: Callable[[], list[str]]) -> list[str]:
    """Return what is found; a shell that completes must not show an error."""
    from broker.errors import BrokerError

    try:
        return find()
    except (BrokerError, OSError):
        return []


def complete_job(incomplete: str) -> list[str]:
    """Return ids of jobs that begin so, newest first."""
    from broker.cli.glance import glance_names

    return _quietly(lambda: glance_names("id", incomplete))


def complete_experiment(incomplete: str) -> list[str]:
    """Return experiments that begin so, newest first."""
    from broker.cli.glance import glance_names

    return _quietly(lambda: glance_names("experiment", incomplete))


def complete_provider(incomplete: str) -> list[str]:
    """Return accounts that begin so."""

    def find() -> list[str]:
        from broker.settings import load_settings

        return [name for name in load_settings().account_names() if name.startswith(incomplete)]

    return _quietly(find)


def complete_state(incomplete: str) -> list[str]:
    """Return states that begin so."""
    from broker.jobs.states import State

    return [state for state in State if state.startswith(incomplete)]
