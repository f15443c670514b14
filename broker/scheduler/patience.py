"""Asking that goes on: after a failure that may pass it is asked again, as long as anything comes between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import sleep

from broker.errors import StoreError, UnavailableError
from broker.jobs.blocking import blocking
from broker.jobs.records import Wish
from broker.jobs.states import State
from broker.providers.contract import Advice, Verdict
from broker.scheduler.reading import failure_of, read_error, telling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.providers.contract import Provider
    from broker.scheduler.parts import Held, Parts

# So often in a row is it tried again after a failure that may pass, without any progress between.
_TRIES = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


async def until_done(
    parts: Parts,
    provider: Provider,
    held: Held,
    work: Callable[[bool], Awaitable[None]],
    progress: Callable[[], int],
    cost_usd: Callable[[], Awaitable[float]] | None = None,
) -> None:
    """Do the work, which ends the job; after a failure that may pass do it again, else the job has failed.

    Args:
        parts: What drivers share.
        provider: The account that answers.
        held: The job, leased.
        work: Called with whether it was tried before, in this attempt or an earlier one.
        progress: Returns how much was done so far.
        cost_usd: Returns what it has cost, where that is known; what is not stays reserved.

    Raises:
        StoreError: The store or the disk failed.
    """
    tries, done = 0, -1
    while True:
        try:
            await work(held.job.attempt > 1 or tries > 0)
            return
        except StoreError:
            raise
        except Exception as error:  # a provider may raise anything; its own `classify` reads it
            verdict = read_asking(provider, error)
        tries, done = (0, progress()) if progress() > done else (tries + 1, done)
        if verdict.advice not in (Advice.RETRY, Advice.RETRY_AT) or tries >= _TRIES:
            known = {} if cost_usd is None else {"cost_usd": await cost_usd()}
            await parts.fail(held, failure_of(verdict), **known)
            return
        await parts.note_look(held, verdict)
        usual_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**tries)
        await sleep(verdict.after_s if verdict.after_s is not None else usual_s)


def read_asking(provider: Provider, error: Exception) -> Verdict:
    """Read an exception of asking, which may always be done again: whoever cannot answer now is asked later."""
    told = telling(error)
    if isinstance(told, UnavailableError):
        advice = Advice.RETRY if told.retry_after_s is None else Advice.RETRY_AT
        return Verdict(
            advice=advice, code="unavailable", message=told.message, fix=told.fix, after_s=told.retry_after_s
        )
    return read_error(provider, error)


async def interrupted(parts: Parts, held: Held, *, cost_usd: float | None = None) -> None:
    """End or rest a job whose work was stopped by a wish; a lost lease stops it too and changes nothing.

    Args:
        parts: What drivers share.
        held: The job, leased.
        cost_usd: What it cost so far, where that is known.
    """
    held.job = await blocking(parts.store.job, held.job.id)
    known = {} if cost_usd is None else {"cost_usd": cost_usd}
    if held.job.wish is Wish.CANCEL:
        await parts.end(held, State.CANCELLED, **known)
    elif held.job.wish is Wish.PAUSE:
        # What it may still cost stays reserved, so what was paid is told beside it.
        await parts.transition(held, State.PAUSED, result={**held.job.result, **known})
