"""The step that costs money: at most one job per intent at the provider.

The rule. The intent is stored before the first send, and every send is counted before it goes out. When nobody knows
whether a send arrived (`OutcomeUnknownError`, a crash, a stop), the provider is asked by `find` for its whole grace
time, measured on this process's own monotonic clock, so that a changed wall clock cannot shorten it. Not listed in all
that time: it is sent once more, and if that one's outcome is unknown too and stays unlisted, the job is `lost` and a
person is told what to look for. A send that was cut off by a crash may never have gone out, so crashes alone may use up
`MAX_SENDS`, each after a whole grace time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from anyio import CancelScope, Event, current_time, move_on_after, sleep

from broker.errors import LeaseLostError, OutcomeUnknownError, StoreError
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_intent_key
from broker.jobs.records import EventKind, Failure, Handle, Intent, NewEvent, Wish
from broker.jobs.spec import TuneSpec
from broker.jobs.states import State
from broker.providers.contract import Advice, Provider, Verdict
from broker.scheduler.parts import Held, Parts, persisting
from broker.scheduler.reading import failure_of, read_error

MAX_SENDS = 4
MAX_UNKNOWN = 2
_BACKOFF_S = (0.5, 60.0)
# Only spreads the load of retries; nothing that is stored depends on it.
_jitter = Random()


class Submission:
    """Brings one tuning job from `preparing` to `running`, or to the state that is true."""

    def __init__(self, parts: Parts, provider: Provider, held: Held) -> None:
        """Bind the step to a job.

        Args:
            parts: What drivers share.
            provider: The job's provider.
            held: The job, leased.
        """
        self._parts = parts
        self._provider = provider
        self._held = held
        self._tries = 0
        self._unknown = 0

    async def run(self) -> None:
        """Create the job at its provider, exactly once as far as anyone can know."""
        intent = await self._intent()
        while self._held.job.state is State.SUBMITTING:
            if intent.sends and not await self._settle(intent):
                return
            await self._send(intent)
            intent = await blocking(self._parts.store.intent, intent.key)

    async def _intent(self) -> Intent:
        held = self._held
        if held.job.intent_key is not None and held.job.state is State.SUBMITTING:
            return await blocking(self._parts.store.intent, held.job.intent_key)
        spec = held.job.spec
        assert isinstance(spec, TuneSpec)
        now = datetime.now(UTC)
        intent = Intent(key=new_intent_key(), job_id=held.job.id, attempt=held.job.attempt, spec=spec, created_at=now)
        held.job = await blocking(self._parts.store.record_intent, held.lease, intent)
        self._parts.changed()
        return await blocking(self._parts.store.intent, intent.key)

    async def _send(self, intent: Intent) -> None:
        """Make everything ready, and send the creating call once unless somebody wishes otherwise."""
        if missing := await self._parts.missing(intent.spec.train, intent.spec.validation):
            fix = f"give the file again: broker submit …; this job stays failed: broker status {intent.job_id}"
            await self._refused(Verdict(advice=Advice.NEVER, code="data", message="; ".join(missing), fix=fix))
            return
        self._held.scope = CancelScope()
        try:
            with self._held.scope:
                await self._provider.prepare(intent)
        except StoreError:
            raise
        except Exception as error:  # as below; nothing was sent yet
            await self._refused(read_error(self._provider, error))
            return
        if not await self._obeyed():
            await self._parts.assure(self._held)
            await blocking(self._parts.store.record_send, self._held.lease, intent.key)
            await self._create(intent)

    async def _create(self, intent: Intent) -> None:
        """Send the creating call, once."""
        await self._parts.assure(self._held)
        try:
            with self._held.tenured() as tenure:
                handle = await self._provider.submit(intent)
                await self._keep(handle)
            if not tenure.cancelled_caught:
                return
            await self._parts.assure(self._held)
            verdict = self._provider.classify(OutcomeUnknownError("this broker was stopped while it sent the job"))
        except StoreError:
            raise
        except OutcomeUnknownError as error:
            verdict = self._provider.classify(error)
        except Exception as error:  # a provider may raise anything; its own `classify` reads it
            verdict = read_error(self._provider, error)
            if verdict.advice is not Advice.UNKNOWN:
                await blocking(self._parts.store.record_unsent, self._held.lease, intent.key)
                await self._refused(verdict)
                return
        self._unknown += 1
        await self._parts.note_look(self._held, verdict)

    async def _keep(self, handle: Handle) -> None:
        try:
            with persisting(self._held.lease.job_id):
                self._held.job = await blocking(self._parts.store.record_handle, self._held.lease, handle)
        except LeaseLostError:
            # Whoever drives the job now finds it there; where it cannot be looked up, a person reads this line.
            what = f"created as {handle.id} while the job was given to another broker"
            data = {"level": "warning", "message": what, "handle": handle.id}
            job_id = self._held.lease.job_id
            self._parts.events.append(NewEvent(job_id=job_id, kind=EventKind.LOG, data=data, at=datetime.now(UTC)))
            raise
        self._parts.changed()

    async def _refused(self, verdict: Verdict) -> None:
        """Nothing was created: fail, or wait and try again."""
        if verdict.advice is Advice.NEVER:
            await self._parts.fail(self._held, failure_of(verdict))
            return
        await self._parts.note_look(self._held, verdict)
        self._tries += 1
        with move_on_after(verdict.after_s if verdict.after_s is not None else _backoff(self._tries)):
            await self._held.wished.wait()
        await self._obeyed()

    async def _obeyed(self) -> bool:
        """Act on a wish while nothing is at the provider; say whether the job is not to be sent now."""
        wish = await self._wish()
        if wish is Wish.CANCEL:
            await self._parts.end(self._held, State.CANCELLED)
        elif wish is Wish.PAUSE:
            await self._parts.transition(self._held, State.PAUSED)
        elif wish is Wish.RESUME:
            await self._parts.forget(self._held, wish)
        return self._held.job.state is not State.SUBMITTING

    async def _wish(self) -> Wish | None:
        # Made anew before the look: a wish that comes after it wakes whoever waits next.
        self._held.wished = Event()
        return (await blocking(self._parts.store.job, self._held.job.id)).wish

    async def _settle(self, intent: Intent) -> bool:
        """Find out what became of earlier sends.

        Returns:
            Whether the creating call may go out (again).
        """
        capabilities = self._parts.accounts.capabilities(self._provider.name)
        if not capabilities.findable:
            await self._lose(intent)
            return False
        handle, answered = await self._look_for(intent, capabilities.grace_s)
        if handle is not None:
            await self._keep(handle)
        elif answered and await self._wish() is Wish.CANCEL:
            await self._parts.end(self._held, State.CANCELLED)
        elif not answered or self._unknown >= MAX_UNKNOWN or intent.sends >= MAX_SENDS:
            await self._lose(intent)
        else:
            return True
        return False

    async def _look_for(self, intent: Intent, grace_s: float) -> tuple[Handle | None, bool]:
        """List until the grace time is over; only a listing that began after it proves that nothing is there.

        Returns:
            The handle, if it is listed, and whether the provider answered: False only where a person wishes the end of
            a job about which the provider is silent.
        """
        ends, looks = current_time() + grace_s, 0
        while True:
            began = current_time()
            try:
                handle = await self._provider.find(intent)
                answered = True
            except StoreError:
                raise
            except Exception as error:  # a failed look, read by the provider's `classify`
                handle, answered = None, False
                await self._parts.note_look(self._held, read_error(self._provider, error))
            over = began >= ends
            if handle is not None or (over and answered):
                return handle, True
            if over and await self._wish() is Wish.CANCEL:
                return None, False
            looks += 1
            await sleep(_backoff(looks, most=max(0.05, grace_s / 4)))

    async def _lose(self, intent: Intent) -> None:
        spec, provider = intent.spec, self._provider.name
        sent = intent.sent_at.isoformat(timespec="seconds") if intent.sent_at else "an unknown time"
        what = (
            f"the job was sent to {provider!r} {intent.sends} time(s), last at {sent}, and {provider!r} neither "
            f"confirmed it nor lists it; it may exist there"
        )
        fix = (
            f"look in {provider!r}'s job list for base model {spec.model!r} with metadata broker_intent={intent.key}. "
            f"If it is there: broker adopt ITS-ID --job {self._held.job.id}. "
            f"If it is not: broker resume {self._held.job.id} sends it again"
        )
        failure = Failure(code="lost", message=what, fix=fix, at=datetime.now(UTC))
        await self._parts.transition(self._held, State.LOST, failure=failure, data={"why": what})


def _backoff(times: int, most: float = _BACKOFF_S[1]) -> float:
    """Return how long to wait after so many tries, seconds."""
    ceiling = min(most, _BACKOFF_S[0] * 2.0 ** min(times, 10))
    return float(ceiling * (0.5 + _jitter.random() / 2))
