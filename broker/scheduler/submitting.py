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

from broker.errors import OutcomeUnknownError
from broker.jobs.blocking import blocking
from broker.jobs.ids import new_intent_key
from broker.jobs.records import Failure, Handle, Intent, Wish
from broker.jobs.spec import TuneSpec
from broker.jobs.states import State
from broker.providers.contract import Advice, Provider, Verdict
from broker.scheduler.parts import PERSIST_S, Held, Parts, failure_of, read_error

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

    async def run(self) -> bool:
        """Create the job at its provider, exactly once as far as anyone can know.

        Returns:
            Whether the job is running now.
        """
        intent = await self._intent()
        while True:
            if intent.sends and not await self._settle(intent):
                return self._held.job.state is State.RUNNING
            intent = await blocking(self._parts.store.intent, intent.key)
            outcome = await self._send(intent)
            if outcome is not None:
                return outcome
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
        return intent

    async def _send(self, intent: Intent) -> bool | None:
        """Send the creating call once; None means: look at the intent again."""
        try:
            await self._provider.prepare(intent)
        except Exception as error:  # as below; nothing was sent yet
            return await self._refused(read_error(self._provider, error))
        await blocking(self._parts.store.record_send, self._held.lease, intent.key)
        try:
            handle = await self._provider.submit(intent)
        except OutcomeUnknownError as error:
            await self._doubt(self._provider.classify(error))
            return None
        except Exception as error:  # a provider may raise anything; its own `classify` reads it
            verdict = read_error(self._provider, error)
        else:
            await self._keep(handle)
            return True
        if verdict.advice is Advice.UNKNOWN:
            await self._doubt(verdict)
            return None
        await blocking(self._parts.store.record_unsent, self._held.lease, intent.key)
        return await self._refused(verdict)

    async def _keep(self, handle: Handle) -> None:
        with CancelScope(shield=True, deadline=current_time() + PERSIST_S):
            self._held.job = await blocking(self._parts.store.record_handle, self._held.lease, handle)
        self._parts.changed()

    async def _doubt(self, verdict: Verdict) -> None:
        self._unknown += 1
        await self._parts.note_look(self._held, verdict)

    async def _refused(self, verdict: Verdict) -> bool | None:
        """Nothing was created: fail, or wait and try again."""
        if verdict.advice is Advice.NEVER:
            await self._parts.fail(self._held, failure_of(verdict))
            return False
        await self._parts.note_look(self._held, verdict)
        with move_on_after(verdict.after_s if verdict.after_s is not None else self._backoff()):
            await self._held.wished.wait()
        if await self._cancel_wanted():
            await self._parts.end(self._held, State.CANCELLED)
            return False
        return None

    async def _cancel_wanted(self) -> bool:
        record = await blocking(self._parts.store.job, self._held.job.id)
        self._held.wished = Event()
        return record.wish is Wish.CANCEL

    async def _settle(self, intent: Intent) -> bool:
        """Find out what became of earlier sends.

        Returns:
            Whether the creating call may go out (again).
        """
        capabilities = self._parts.accounts.capabilities(self._provider.name)
        handle = await self._look_for(intent, capabilities.grace_s) if capabilities.findable else None
        if handle is not None:
            await self._keep(handle)
            return False
        if capabilities.findable and await self._cancel_wanted():
            await self._parts.end(self._held, State.CANCELLED)
            return False
        if not capabilities.findable or self._unknown >= MAX_UNKNOWN or intent.sends >= MAX_SENDS:
            await self._lose(intent)
            return False
        return True

    async def _look_for(self, intent: Intent, grace_s: float) -> Handle | None:
        """List until the grace time is over; only listings that the provider answered count as looks."""
        ends = current_time() + grace_s
        answered = False
        while True:
            try:
                handle = await self._provider.find(intent)
                answered = True
            except Exception as error:  # a failed look, read by the provider's `classify`
                handle, answered = None, False
                await self._parts.note_look(self._held, read_error(self._provider, error))
            if handle is not None:
                return handle
            if answered and current_time() >= ends:
                return None
            await sleep(self._backoff(most=max(0.05, grace_s / 4)))

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

    def _backoff(self, most: float = _BACKOFF_S[1]) -> float:
        self._tries += 1
        ceiling = min(most, _BACKOFF_S[0] * 2.0 ** min(self._tries, 10))
        return float(ceiling * (0.5 + _jitter.random() / 2))
