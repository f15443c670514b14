"""What the rest of the broker may ask of the store.

All methods block and are called from a worker thread. Each is one transaction: after it returned, a crash loses
nothing of it; if it raised, nothing of it happened. Times are UTC and come from the store's clock.

A job is driven by whoever holds its lease. Every write that takes a `Lease` checks its token inside the transaction
and raises `LeaseLostError` when somebody else holds the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from broker.jobs.records import (
        Event,
        Expense,
        Experiment,
        Handle,
        Intent,
        Job,
        Lease,
        NewEvent,
        NewJob,
        UsedRows,
        Wish,
        Working,
    )
    from broker.jobs.spec import ModelRef
    from broker.jobs.states import JobKind, State


class StoreView(Protocol):
    """What can be read."""

    def close(self) -> None:
        """Release the connections."""

    def experiment(self, name: str) -> Experiment:
        """Return an experiment by name. Raises `UnknownNameError`, naming the nearest match."""
        ...

    def experiments(self) -> list[Experiment]:
        """Return all experiments, newest first."""
        ...

    def job(self, id_or_prefix: str) -> Job:
        """Return one job by its id or a unique beginning of it. Raises `UnknownNameError`."""
        ...

    def jobs(
        self,
        *,
        experiment: str | None = None,
        states: Iterable[State] | None = None,
        kinds: Iterable[JobKind] | None = None,
        providers: Iterable[str] | None = None,
        handles: Iterable[str] | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Return jobs, oldest first unless told otherwise. `handles` filters by the provider's own ids."""
        ...

    def count_jobs(self, *, experiment: str | None = None) -> dict[State, int]:
        """Return how many jobs are in each state."""
        ...

    def intents(self, job_id: str) -> list[Intent]:
        """Return the intents of a job, oldest first."""
        ...

    def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return events with `seq > after`, oldest first, of one job or of all."""
        ...

    def last_seq(self) -> int:
        """Return the seq of the newest event, 0 when there is none."""
        ...

    def spent(self, experiment: str) -> float:
        """Return what is reserved or spent in an experiment, USD: the cost where it is known, else the reservation."""
        ...

    def expenses(self, experiment: str) -> list[Expense]:
        """Return what an experiment spends beside its jobs, oldest first; `spent` counts it too."""
        ...

    def models(self) -> list[tuple[str, ModelRef, str | None]]:
        """Return (alias, model, job id) of all registered models, newest first."""
        ...


class Store(StoreView, Protocol):
    """Jobs, intents, events, leases, experiments, and the small ledgers beside them."""

    def add_experiment(self, experiment: Experiment) -> Experiment:
        """Store an experiment; one that exists is returned as it is, unless its validation set differs.

        One that was stored without a validation set takes the one given. `created_at` is the store's time.

        Raises:
            UserError: The name is taken by an experiment with another validation set.
        """
        ...

    def set_budget(self, name: str, budget_usd: float | None) -> Experiment:
        """Change an experiment's budget, `None` lifts it; what is reserved already stays. Raises `UnknownNameError`."""
        ...

    def reserve_expense(self, experiment: str, name: str, usd: float) -> None:
        """Reserve money for something beside the jobs; in place of what was reserved or spent under this name.

        Raises:
            BudgetError: The reservations (with what was spent) would pass the experiment's budget.
        """
        ...

    def settle_expense(self, experiment: str, name: str, usd: float) -> None:
        """Write down what an expense cost in all, in place of its reservation. Money that is gone is never refused."""
        ...

    def add_jobs(self, experiment: str, jobs: Sequence[NewJob]) -> list[Job]:
        """Store new jobs, all or none, as `queued`, with their money reserved.

        Raises:
            BudgetError: The reservations (with what was spent) would pass the experiment's budget.
        """
        ...

    def claim(
        self,
        owner: str,
        *,
        lease_s: float,
        limit: int,
        providers: Iterable[str] | None = None,
        kinds: Iterable[JobKind] | None = None,
        jobs: Iterable[str] | None = None,
        wishes: Iterable[Wish] | None = None,
    ) -> list[tuple[Job, Lease]]:
        """Take the lease of jobs that want driving and that nobody holds (or whose lease has expired).

        Wanting: not resting (or resting with a `wish`), and every job it depends on has succeeded; a job that depends
        on one that failed, was cancelled or lost is claimed too, so that the driver can end it, and so is one that
        somebody wishes to cancel or pause, whatever it waits for. Highest priority first, then oldest. Two callers
        never get the same job (PostgreSQL: SKIP LOCKED). With `wishes`, only jobs of which somebody wants one of these.

        Leases run on a clock that nobody sets (SQLite: the machine's monotonic one; PostgreSQL: the server's): renew
        before you claim, since a claim frees every lease that has expired, the caller's own included.
        """
        ...

    def claim_working(self, owner: str, *, lease_s: float, limit: int, provider: str) -> list[Working]:
        """Take the lease of tuning jobs that their provider works on already, as `claim` does, in a few words each."""
        ...

    def owners(self) -> list[str]:
        """Return everybody who holds a lease, expired or not."""
        ...

    def disown(self, owner: str) -> int:
        """Take back all leases of an owner that certainly lives no more; return how many."""
        ...

    def renew(self, leases: Sequence[Lease], *, lease_s: float) -> tuple[list[Lease], list[Lease]]:
        """Extend leases; return (those still held, those lost)."""
        ...

    def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back; lost ones are ignored."""

    def transition(self, lease: Lease, to: State, *, data: Mapping[str, Any] | None = None, **changes: Any) -> Job:
        """Move a job to another state and write its `state` event (with `data` added) in the same transaction.

        Args:
            lease: The right to drive it.
            to: The new state; must be allowed by `states.TRANSITIONS`. A new attempt is made
                by `restart` only, and the first step to `submitting` by `record_intent`.
            data: More content for the event.
            changes: Other fields of `Job` to change (handle, model, failure, result, cost_usd, wish, …).

        Raises:
            LeaseLostError: Somebody else drives the job.
            IllegalTransitionError: The table does not have this step.
        """
        ...

    def update(self, lease: Lease, **changes: Any) -> Job:
        """Change fields of a job without changing its state (`look`, `remote_status`, `wish`, `cost_usd`, …)."""
        ...

    def record_intent(self, lease: Lease, intent: Intent) -> Job:
        """In one transaction: the intent, state `submitting`, its event. `created_at` is the store's time.

        Raises:
            IllegalTransitionError: The job has an intent of this attempt already.
            BudgetError: The experiment has cost more than its budget meanwhile.
        """
        ...

    def record_send(self, lease: Lease, key: str) -> int:
        """Count one more send of the creating call (and its time), before it goes out; return the new count."""
        ...

    def record_unsent(self, lease: Lease, key: str) -> int:
        """Take the last send back: the provider certainly created nothing. Return the new count."""
        ...

    def intent(self, key: str) -> Intent:
        """Return an intent by its key. Raises `UnknownNameError`."""
        ...

    def record_handle(self, lease: Lease, handle: Handle, *, data: Mapping[str, Any] | None = None) -> Job:
        """In one transaction: the handle, state `running`, its event."""
        ...

    def restart(self, job_id: str) -> Job:
        """Send a failed, cancelled or lost job back to `queued` as a new attempt: no intent, no handle, wish cleared.

        What the attempt before did cost (or may have) stays in `spent`; a lease that somebody still holds is revoked.
        Raises `BudgetError` when the new reservation does not fit.
        """
        ...

    def wish(self, job_id: str, wish: Wish | None) -> Job:
        """Note what a person wants of a job, with an event; whoever drives it acts on it. Needs no lease.

        A job that has ended stays as it is. A wish is forgotten when a transition fulfils it (any end; `paused` for a
        pause; `running` or `queued` for a resume), so the driver need not clear it.
        """
        ...

    def forget_wish(self, lease: Lease, wish: Wish) -> Job:
        """Clear a wish that was acted on, unless the person wishes something else by now."""
        ...

    def wishes(self, owner: str) -> list[Job]:
        """Return the jobs whose lease this owner holds and that have a wish nobody has acted on."""
        ...

    def has_work(self, provider: str) -> bool:
        """Say whether any job of an account is not resting, or rests with a wish."""
        ...

    def accounts_at_work(self) -> list[str]:
        """Return every account that has a job which is not resting, or rests with a wish."""
        ...

    def settle(self, job_id: str, to: State, *, handle: Handle | None = None, note: str = "") -> Job:
        """Let a person settle a `lost` job: to `running` with the handle found, to `failed`, or to `cancelled`."""
        ...

    def append_events(self, events: Sequence[NewEvent]) -> None:
        """Store events in one transaction; one whose (job, source_id) is stored already is skipped."""

    def remember_upload(self, account: str, sha256: str, purpose: str, remote_id: str) -> None:
        """Note that an account holds this content under `remote_id`."""

    def upload(self, account: str, sha256: str, purpose: str) -> str | None:
        """Return the remote id of content that was uploaded before."""
        ...

    def forget_upload(self, account: str, remote_id: str) -> None:
        """Note that the remote file is gone."""

    def add_model(self, model: ModelRef, *, alias: str, job_id: str | None, at: datetime | None = None) -> None:
        """Register a model that can be asked under an alias (`broker chat ALIAS`)."""

    def used_rows(self) -> list[UsedRows]:
        """Return the sets that tuning jobs train on or look at, oldest first; not of jobs that ended without a model.

        A job at a provider that was taken over has a set without a hash: nobody here has its rows.
        """
        ...

    def put_document(self, kind: str, name: str, data: Mapping[str, Any]) -> None:
        """Store a small JSON document (hashes of tokens, files, settings) under (kind, name), replacing an old one."""

    def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a document, or None."""
        ...

    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all documents of a kind by name, oldest first."""
        ...

    def delete_document(self, kind: str, name: str) -> bool:
        """Delete a document; say whether there was one."""
        ...
