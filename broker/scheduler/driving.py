"""Drives one job by the driver of its kind, and keeps what goes wrong with it from its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import IllegalTransitionError, StoreError
from broker.jobs.blocking import blocking
from broker.jobs.states import JobKind, State
from broker.scheduler.evaluating import drive_evaluation
from broker.scheduler.parts import WORKING, Held, Parts
from broker.scheduler.reading import failure_of, read_error
from broker.scheduler.synthesizing import drive_synthesis
from broker.scheduler.tuning import drive_tuning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.providers.contract import Provider, Verdict

# Driver by kind of job; says whether the job wants to be followed.
DRIVERS: dict[JobKind, Callable[[Parts, Provider, Held], Awaitable[bool]]] = {
    JobKind.TUNE: drive_tuning,
    JobKind.EVALUATE: drive_evaluation,
    JobKind.SYNTHESIZE: drive_synthesis,
}


async def drive(parts: Parts, provider: Provider, held: Held) -> bool:
    """Drive a job as far as it goes.

    Args:
        parts: What drivers share.
        provider: The job's provider.
        held: The job, leased.

    Returns:
        Whether the job wants to be followed from here.

    Raises:
        LeaseLostError: Somebody else drives the job now.
        StoreError: The store or the disk failed: no job's fault, and no job can go on.
    """
    try:
        return await DRIVERS[held.job.kind](parts, provider, held)
    except StoreError:
        raise
    except Exception as error:  # one broken job must not stop its neighbours
        return await _broken(parts, held, read_error(None, error))


async def _broken(parts: Parts, held: Held, verdict: Verdict) -> bool:
    """Say what went wrong with a job that cannot be driven; what may cost money is never called failed for that."""
    held.job = await blocking(parts.store.job, held.lease.job_id)
    state = held.job.state
    try:
        there = held.job.handle is not None or (state is State.SUBMITTING and await _sent(parts, held))
        if there or held.job.resting:
            await parts.note_look(held, verdict)
        else:
            await parts.fail(held, failure_of(verdict))
    except IllegalTransitionError:
        pass  # a person has decided about it meanwhile
    return held.job.state in WORKING and held.job.handle is not None


async def _sent(parts: Parts, held: Held) -> bool:
    key = held.job.intent_key
    return key is not None and (await blocking(parts.store.intent, key)).sends > 0
