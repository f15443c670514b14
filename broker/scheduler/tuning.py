"""The life of a tuning job up to `running`; from there the follower of its account takes over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.errors import ProblemsError, SpecError
from broker.jobs.records import Failure, Wish
from broker.jobs.spec import TuneSpec
from broker.jobs.states import State
from broker.scheduler.parts import Held, Parts, failure_of, read_error
from broker.scheduler.submitting import Submission

if TYPE_CHECKING:
    from broker.providers.contract import Provider

_FOLLOWED = frozenset({State.RUNNING, State.PAUSING, State.CANCELLING})


async def drive_tuning(parts: Parts, provider: Provider, held: Held) -> bool:
    """Bring a tuning job to where its provider works on it.

    Args:
        parts: What drivers share.
        provider: The job's provider.
        held: The job, leased.

    Returns:
        Whether the job wants to be followed from here.
    """
    if held.job.state in (State.QUEUED, State.PREPARING):
        if held.job.wish is not None:
            await _obey_before_start(parts, held)
            return False
        if not await _prepare(parts, provider, held):
            return False
        await Submission(parts, provider, held).run()
    elif held.job.state is State.SUBMITTING:
        await Submission(parts, provider, held).run()
    elif held.job.state is State.PAUSED and held.job.wish is not None:
        await _wake(parts, provider, held)
    return held.job.state in _FOLLOWED


async def _prepare(parts: Parts, provider: Provider, held: Held) -> bool:
    spec = held.job.spec
    assert isinstance(spec, TuneSpec)
    if held.job.state is State.QUEUED:
        await parts.transition(held, State.PREPARING)
    problems = [problem for problem in provider.check(spec) if problem.severity == "error"]
    if problems:
        await parts.fail(held, _problems_failure(SpecError(problems)))
        return False
    return True


def _problems_failure(error: ProblemsError) -> Failure:
    fixes = "; ".join(problem.fix for problem in error.problems if problem.fix)
    return Failure(code="spec", message=error.message, fix=fixes, at=datetime.now(UTC))


async def _obey_before_start(parts: Parts, held: Held) -> None:
    if held.job.wish is Wish.CANCEL:
        await parts.end(held, State.CANCELLED)
    elif held.job.wish is Wish.PAUSE:
        await parts.transition(held, State.PAUSED, wish=None)
    else:
        await parts.update(held, wish=None)


async def _wake(parts: Parts, provider: Provider, held: Held) -> None:
    """Act on a wish about a paused job."""
    handle = held.job.handle
    if held.job.wish is Wish.PAUSE:
        await parts.update(held, wish=None)
    elif handle is None:
        to = State.CANCELLED if held.job.wish is Wish.CANCEL else State.QUEUED
        await (parts.end(held, to) if to is State.CANCELLED else parts.transition(held, to, wish=None))
    elif held.job.wish is Wish.CANCEL:
        await parts.transition(held, State.CANCELLING, wish=None)
    else:
        try:
            await provider.resume(handle)
        except Exception as error:  # a provider may raise anything; its own `classify` reads it
            await parts.update(held, wish=None, look=failure_of(read_error(provider, error)))
        else:
            await parts.transition(held, State.RUNNING, wish=None)
