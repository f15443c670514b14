"""What a provider's word about a job means for the job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from broker.jobs.blocking import blocking
from broker.jobs.records import Failure
from broker.jobs.states import State, allowed
from broker.providers.contract import Provider, RemoteState, RemoteStatus

if TYPE_CHECKING:
    from broker.jobs.spec import ModelRef
    from broker.scheduler.parts import Held, Parts

_STATES: dict[RemoteState, State] = {
    RemoteState.QUEUED: State.RUNNING,
    RemoteState.RUNNING: State.RUNNING,
    RemoteState.PAUSED: State.PAUSED,
    RemoteState.INTERRUPTED: State.RUNNING,
    RemoteState.SUCCEEDED: State.SUCCEEDED,
    RemoteState.FAILED: State.FAILED,
    RemoteState.CANCELLED: State.CANCELLED,
}


class Ending:
    """Applies one status to one job."""

    def __init__(self, parts: Parts, provider: Provider, held: Held) -> None:
        """Bind the status's meaning to a job.

        Args:
            parts: What drivers share.
            provider: The job's provider.
            held: The job, leased.
        """
        self._parts = parts
        self._provider = provider
        self._held = held

    async def apply(self, status: RemoteStatus) -> None:
        """Write what a status changes; a word that the job's state does not allow changes nothing.

        Args:
            status: As the provider sees the job; its state is known.
        """
        assert status.state is not None
        to, job = _STATES[status.state], self._held.job
        if to is job.state or (to is State.RUNNING and job.state in (State.PAUSING, State.CANCELLING)):
            await self._same(status)
        elif to in allowed(job.kind, job.state):
            await self._move(to, status)

    async def _same(self, status: RemoteStatus) -> None:
        job = self._held.job
        stale = job.look is not None or job.failure is not None or job.started_at is None
        if stale or job.remote_status != status.raw:
            started = job.started_at or status.started_at or datetime.now(UTC)
            changes = {"remote_status": status.raw, "look": None, "failure": None, "started_at": started}
            await self._parts.update(self._held, **changes)

    async def _move(self, to: State, status: RemoteStatus) -> None:
        changes: dict[str, Any] = {"remote_status": status.raw, "look": None, "failure": None}
        started = self._held.job.started_at or status.started_at
        if started is not None:
            changes["started_at"] = started
        if to in (State.RUNNING, State.PAUSED):
            await self._parts.transition(self._held, to, **changes)
            return
        changes["finished_at"] = status.finished_at or datetime.now(UTC)
        changes["result"] = {**dict(status.result), **_tokens(status)}
        if status.cost_usd is not None:
            changes["cost_usd"] = status.cost_usd
        if to is State.FAILED:
            changes["failure"] = _failure(status)
        if to is State.SUCCEEDED and status.model is not None:
            changes["model"] = status.model
            await self._register(status.model)
        await self._parts.end(self._held, to, **changes)

    async def _register(self, model: ModelRef) -> None:
        await blocking(self._parts.store.add_model, model, alias=self._held.job.id, job_id=self._held.job.id)


def _tokens(status: RemoteStatus) -> dict[str, Any]:
    return {} if status.trained_tokens is None else {"trained_tokens": status.trained_tokens}


def _failure(status: RemoteStatus) -> Failure:
    return Failure(
        code=status.error_code or "failed",
        message=status.error_message or f"the provider says {status.raw!r} and no reason",
        fix=status.fix,
        at=datetime.now(UTC),
    )
