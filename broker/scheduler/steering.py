"""Asks a provider to pause or to end a job, again and again until its word about the job says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import current_time

from broker.errors import StoreError
from broker.jobs.records import Wish
from broker.jobs.states import State
from broker.providers.contract import Advice
from broker.scheduler.reading import read_error

if TYPE_CHECKING:
    from broker.providers.contract import Provider
    from broker.scheduler.followed import Followed
    from broker.scheduler.parts import Held, Parts

_LATEST_S = 120.0
_ASKED = {Wish.PAUSE: State.PAUSING, Wish.CANCEL: State.CANCELLING}


class Steering:
    """Brings a followed job to where a person wants it."""

    def __init__(self, parts: Parts, provider: Provider) -> None:
        """Bind to an account.

        Args:
            parts: What drivers share.
            provider: Who is asked.
        """
        self._parts = parts
        self._provider = provider
        self._poll_s = parts.accounts.capabilities(provider.name).poll_s

    def due(self, job: Followed) -> bool:
        """Say whether there is something to ask for: a new wish, or one that the provider has not fulfilled yet."""
        if job.wish is not None:
            return True
        asked = job.state is State.CANCELLING or job.state is State.PAUSING
        return asked and (job.care is None or current_time() >= job.care.ask_at)

    async def steer(self, job: Followed, held: Held) -> None:
        """Act on a wish, or ask once more.

        Args:
            job: As it is followed; changed here.
            held: Its record.
        """
        wish, job.wish = job.wish, None
        asked = _ASKED.get(wish, held.job.state) if wish is not None else held.job.state
        if wish is not None and not await self._accept(held, wish):
            # What is kept for later is not acted on again; anything else that is wished from now on is.
            job.heard = wish if held.job.wish is wish else None
            return
        if asked not in (State.PAUSING, State.CANCELLING):
            return
        if held.job.state is not asked:
            await self._parts.transition(held, asked)
            job.care = None
        if wish is not None:
            await self._parts.forget(held, wish)
        job.heard = None
        job.state = asked
        await self._ask(job, held, asked)

    async def _accept(self, held: Held, wish: Wish) -> bool:
        """Say whether a wish means something now; one that cannot be fulfilled any more is forgotten."""
        state = held.job.state
        if held.job.wish is not wish:
            return False  # the person thought better of it meanwhile, and is heard anew
        if wish is Wish.RESUME and state is State.PAUSING:
            return False  # kept: once it is paused, it is told to go on
        if wish is Wish.RESUME or (wish is Wish.PAUSE and state is State.CANCELLING):
            await self._parts.forget(held, wish)
            return False
        return True

    async def _ask(self, job: Followed, held: Held, asked: State) -> None:
        call = self._provider.pause if asked is State.PAUSING else self._provider.cancel
        care = job.cared()
        care.asks += 1
        care.ask_at = later(care.asks, self._poll_s)
        # The next poll tells what came of it, even if the raw word is the one seen before.
        job.raw = None
        try:
            await call(job.handle)
        except StoreError:
            raise
        except Exception as error:  # read by the provider's `classify`
            verdict = read_error(self._provider, error)
            await self._parts.note_look(held, verdict)
            job.troubled = True
            if asked is State.PAUSING and verdict.advice is Advice.NEVER:
                await self._parts.transition(held, State.RUNNING, data={"why": verdict.message})
                job.state = State.RUNNING


def later(times: int, first_s: float) -> float:
    """Return when to try again, on the event loop's clock: later after each time.

    Args:
        times: How often it was tried, from 1.
        first_s: The first wait, seconds.
    """
    return current_time() + min(_LATEST_S, first_s * 2.0 ** min(times - 1, 12))
