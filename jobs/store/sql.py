"""The store in an SQL database: each method of the protocol is one transaction over the functions beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from broker.jobs.store import catalogue, expenses, experiments, journal, leasing, ledgers, lifecycle
from broker.jobs.store.catalogue import Filter
from broker.jobs.store.protocol import Store

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
    from broker.jobs.store.database import Database


class SqlStore(Store):
    """SQLite or PostgreSQL. Threads may share one object; processes open one each."""

    def __init__(self, database: Database) -> None:
        """Use a database whose schema is up to date.

        Args:
            database: The connections; closed with the store.
        """
        self._database = database
        self._read = database.read
        self._write = database.write

    @override
    def close(self) -> None:
        self._database.close()

    @override
    def add_experiment(self, experiment: Experiment) -> Experiment:
        return self._write(lambda tx: experiments.add(tx, experiment))

    @override
    def experiment(self, name: str) -> Experiment:
        return self._read(lambda connection: experiments.find(connection, name))

    @override
    def experiments(self) -> list[Experiment]:
        return self._read(experiments.everything)

    @override
    def set_budget(self, name: str, budget_usd: float | None) -> Experiment:
        return self._write(lambda tx: experiments.set_budget(tx, name, budget_usd))

    @override
    def add_jobs(self, experiment: str, jobs: Sequence[NewJob]) -> list[Job]:
        return self._write(lambda tx: catalogue.add(tx, experiment, jobs))

    @override
    def job(self, id_or_prefix: str) -> Job:
        return self._read(lambda connection: catalogue.find(connection, id_or_prefix))

    @override
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
        wanted = Filter(experiment=experiment, states=states, kinds=kinds, providers=providers, handles=handles)
        return self._read(
            lambda connection: catalogue.search(
                connection, wanted, newest_first=newest_first, limit=limit, offset=offset
            )
        )

    @override
    def count_jobs(self, *, experiment: str | None = None) -> dict[State, int]:
        return self._read(lambda connection: catalogue.count(connection, experiment))

    @override
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
        wanted = Filter(
            wishes=None if wishes is None else list(wishes),
            providers=None if providers is None else list(providers),
            kinds=None if kinds is None else list(kinds),
            ids=None if jobs is None else list(jobs),
        )
        if limit < 1:
            return []
        return self._write(lambda tx: leasing.claim(tx, owner, lease_s, limit, wanted))

    @override
    def claim_working(self, owner: str, *, lease_s: float, limit: int, provider: str) -> list[Working]:
        return self._write(lambda tx: leasing.claim_working(tx, owner, lease_s, limit, provider))

    @override
    def owners(self) -> list[str]:
        return self._read(leasing.owners)

    @override
    def disown(self, owner: str) -> int:
        return self._write(lambda tx: leasing.disown(tx, owner))

    @override
    def renew(self, leases: Sequence[Lease], *, lease_s: float) -> tuple[list[Lease], list[Lease]]:
        if not leases:
            return [], []
        return self._write(lambda tx: leasing.renew(tx, leases, lease_s))

    @override
    def release(self, leases: Sequence[Lease]) -> None:
        if leases:
            self._write(lambda tx: leasing.release(tx, leases))

    @override
    def transition(self, lease: Lease, to: State, *, data: Mapping[str, Any] | None = None, **changes: Any) -> Job:
        return self._write(lambda tx: lifecycle.transition(tx, lease, to, data or {}, changes))

    @override
    def update(self, lease: Lease, **changes: Any) -> Job:
        return self._write(lambda tx: lifecycle.change(tx, lease, changes))

    @override
    def record_intent(self, lease: Lease, intent: Intent) -> Job:
        return self._write(lambda tx: lifecycle.record_intent(tx, lease, intent))

    @override
    def record_send(self, lease: Lease, key: str) -> int:
        return self._write(lambda tx: lifecycle.count_send(tx, lease, key, 1))

    @override
    def record_unsent(self, lease: Lease, key: str) -> int:
        return self._write(lambda tx: lifecycle.count_send(tx, lease, key, -1))

    @override
    def intent(self, key: str) -> Intent:
        return self._read(lambda connection: lifecycle.intent(connection, key))

    @override
    def intents(self, job_id: str) -> list[Intent]:
        return self._read(lambda connection: lifecycle.intents(connection, job_id))

    @override
    def record_handle(self, lease: Lease, handle: Handle, *, data: Mapping[str, Any] | None = None) -> Job:
        return self._write(lambda tx: lifecycle.record_handle(tx, lease, handle, data or {}))

    @override
    def restart(self, job_id: str) -> Job:
        return self._write(lambda tx: lifecycle.restart(tx, job_id))

    @override
    def wish(self, job_id: str, wish: Wish | None) -> Job:
        return self._write(lambda tx: lifecycle.wish(tx, job_id, wish))

    @override
    def forget_wish(self, lease: Lease, wish: Wish) -> Job:
        return self._write(lambda tx: lifecycle.forget_wish(tx, lease, wish))

    @override
    def wishes(self, owner: str) -> list[Job]:
        return self._read(lambda connection: leasing.wished(connection, owner))

    @override
    def has_work(self, provider: str) -> bool:
        return self._read(lambda connection: catalogue.has_work(connection, provider))

    @override
    def accounts_at_work(self) -> list[str]:
        return self._read(catalogue.accounts_at_work)

    @override
    def settle(self, job_id: str, to: State, *, handle: Handle | None = None, note: str = "") -> Job:
        return self._write(lambda tx: lifecycle.settle(tx, job_id, to, handle, note))

    @override
    def append_events(self, events: Sequence[NewEvent]) -> None:
        if events:
            self._write(lambda tx: journal.append(tx, events))

    @override
    def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        return self._database.read_numbered(lambda connection: journal.after(connection, job_id, after, limit))

    @override
    def last_seq(self) -> int:
        return self._database.read_numbered(journal.last)

    @override
    def spent(self, experiment: str) -> float:
        return self._read(lambda connection: experiments.spent(connection, experiment))

    @override
    def expenses(self, experiment: str) -> list[Expense]:
        return self._read(lambda connection: expenses.everything(connection, experiment))

    @override
    def reserve_expense(self, experiment: str, name: str, usd: float) -> None:
        self._write(lambda tx: expenses.reserve(tx, experiment, name, usd))

    @override
    def settle_expense(self, experiment: str, name: str, usd: float) -> None:
        self._write(lambda tx: expenses.settle(tx, experiment, name, usd))

    @override
    def remember_upload(self, account: str, sha256: str, purpose: str, remote_id: str) -> None:
        self._write(lambda tx: ledgers.remember_upload(tx, account, sha256, purpose, remote_id))

    @override
    def upload(self, account: str, sha256: str, purpose: str) -> str | None:
        return self._read(lambda connection: ledgers.upload(connection, account, sha256, purpose))

    @override
    def forget_upload(self, account: str, remote_id: str) -> None:
        self._write(lambda tx: ledgers.forget_upload(tx, account, remote_id))

    @override
    def add_model(self, model: ModelRef, *, alias: str, job_id: str | None, at: datetime | None = None) -> None:
        self._write(lambda tx: ledgers.add_model(tx, model, alias, job_id, at))

    @override
    def models(self) -> list[tuple[str, ModelRef, str | None]]:
        return self._read(ledgers.models)

    @override
    def used_rows(self) -> list[UsedRows]:
        return self._read(catalogue.used_rows)

    @override
    def put_document(self, kind: str, name: str, data: Mapping[str, Any]) -> None:
        self._write(lambda tx: ledgers.put_document(tx, kind, name, data))

    @override
    def document(self, kind: str, name: str) -> dict[str, Any] | None:
        return self._read(lambda connection: ledgers.document(connection, kind, name))

    @override
    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        return self._read(lambda connection: ledgers.documents(connection, kind))

    @override
    def delete_document(self, kind: str, name: str) -> bool:
        return self._write(lambda tx: ledgers.delete_document(tx, kind, name))
