"""The life of a tuning job up to `running`; from there the follower of its account takes over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.errors import ProblemsError, SpecError, StoreError
from broker.jobs.blocking import blocking
from broker.jobs.records import Failure, Wish
from broker.jobs.spec import TuneSpec
from broker.jobs.states import JobKind, State
from broker.providers.contract import Advice
from broker.scheduler.parts import WORKING, Held, Parts
from broker.scheduler.reading import failure_of, read_error
from broker.scheduler.submitting import Submission

if TYPE_CHECKING:
    from broker.providers.contract import Provider


async def drive_tuning(parts: Parts, provider: Provider, held: Held) -> bool:
    """Bring a tuning job to where its provider works on it.

    Args:
        parts: What drivers share.
        provider: The job's provider.
        held: The job, leased.

    Returns:
        Whether the job wants to be followed from here.
    """
    await obey_at_rest(parts, held)
    state, wish = held.job.state, held.job.wish
    if state is State.PAUSED and wish is not None:
        await _wake(parts, provider, held)
    elif state is State.LOST and wish is not None:
        await _give_up(parts, provider, held)
    elif state in (State.QUEUED, State.PREPARING):
        await _prepare(parts, provider, held)
    if held.job.state in (State.PREPARING, State.SUBMITTING):
        await Submission(parts, provider, held).run()
    return held.job.state in WORKING


async def obey_at_rest(parts: Parts, held: Held) -> None:
    """Act on a wish as far as that needs no provider: while nothing was asked of one.

    Args:
        parts: What drivers share.
        held: The job, leased.
    """
    job = held.job
    begun = job.handle is not None or job.state not in (State.QUEUED, State.PREPARING, State.PAUSED)
    if job.wish is None or (begun and job.kind is JobKind.TUNE):
        return
    if job.wish is Wish.CANCEL:
        await parts.end(held, State.CANCELLED)
    elif job.state is State.PAUSED and job.wish is Wish.RESUME:
        to = State.QUEUED if job.intent_key is None else State.SUBMITTING
        await parts.transition(held, to)
        await parts.forget(held, Wish.RESUME)
    elif job.state is not State.PAUSED and job.wish is Wish.PAUSE:
        await parts.transition(held, State.PAUSED)
    else:
        await parts.forget(held, job.wish)


async def _prepare(parts: Parts, provider: Provider, held: Held) -> None:
    spec = held.job.spec
    assert isinstance(spec, TuneSpec)
    if held.job.state is State.QUEUED:
        await parts.transition(held, State.PREPARING)
    problems = [problem for problem in provider.check(spec) if problem.severity == "error"]
    if problems:
        await parts.fail(held, _problems_failure(SpecError(problems)))


def _problems_failure(error: ProblemsError) -> Failure:
    fixes = "; ".join(problem.fix for problem in error.problems if problem.fix)
    return Failure(code="spec", message=error.message, fix=fixes, at=datetime.now(UTC))


async def _wake(parts: Parts, provider: Provider, held: Held) -> None:
    """Act on a wish about a job that is paused at its provider."""
    handle = held.job.handle
    assert handle is not None
    if held.job.wish is Wish.PAUSE:
        await parts.forget(held, Wish.PAUSE)
    elif held.job.wish is Wish.CANCEL:
        await parts.transition(held, State.CANCELLING)
        await parts.forget(held, Wish.CANCEL)
    else:
        try:
            await provider.resume(handle)
        except StoreError:
            raise
        except Exception as error:  # a provider may raise anything; its own `classify` reads it
            verdict = read_error(provider, error)
            await parts.update(held, look=failure_of(verdict))
            if verdict.advice is Advice.NEVER:  # else the wish stays, and is tried again
                await parts.forget(held, Wish.RESUME)
        else:
            await parts.transition(held, State.RUNNING, look=None)


async def _give_up(parts: Parts, provider: Provider, held: Held) -> None:
    """End a lost job that nobody wants any more, unless it turns up after all: then it is ended at its provider."""
    if held.job.wish is not Wish.CANCEL:
        assert held.job.wish is not None
        await parts.forget(held, held.job.wish)
        return
    handle, key = held.job.handle, held.job.intent_key
    try:
        if handle is None and key is not None and parts.accounts.capabilities(provider.name).findable:
            handle = await provider.find(await blocking(parts.store.intent, key))
            if handle is not None:
                held.job = await blocking(parts.store.record_handle, held.lease, handle)
        elif handle is not None and handle.id in await provider.poll([handle]):
            held.job = await blocking(parts.store.record_handle, held.lease, handle)
    except StoreError:
        raise
    except Exception as error:  # nobody can say: it stays lost, and a person is told why
        await parts.update(held, look=failure_of(read_error(provider, error)))
        await parts.forget(held, Wish.CANCEL)
        return
    if held.job.state is State.LOST:
        # It may exist after all and cost what it costs: what was reserved for it stays reserved.
        await parts.end(held, State.CANCELLED, cost_usd=None)
