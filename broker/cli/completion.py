"""What the shell completes: ids of jobs, names of experiments, accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.cli import context

if TYPE_CHECKING:
    from collections.abc import Callable

# So many of the newest jobs are offered.
_NEWEST = 200


def _quietly(find: Callable[[], list[str]]) -> list[str]:
    """Return what is found; a shell that completes must not show an error."""
    from broker.errors import BrokerError

    try:
        return find()
    except (BrokerError, OSError):
        return []


def complete_job(incomplete: str) -> list[str]:
    """Return ids of jobs that begin so, newest first."""

    def find() -> list[str]:
        with context.look() as store:
            newest = store.jobs(newest_first=True, limit=_NEWEST)
        return [job.id for job in newest if job.id.startswith(incomplete)]

    return _quietly(find)


def complete_experiment(incomplete: str) -> list[str]:
    """Return experiments that begin so, newest first."""

    def find() -> list[str]:
        with context.look() as store:
            return [known.name for known in store.experiments() if known.name.startswith(incomplete)]

    return _quietly(find)


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
