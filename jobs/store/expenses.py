"""What an experiment spends beside its jobs: a judge that compares two of its models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from broker.jobs.records import Expense
from broker.jobs.store import experiments, schema

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from broker.jobs.store.database import Transaction

_TABLE = schema.expenses


def reserve(tx: Transaction, experiment: str, name: str, usd: float) -> None:
    """Reserve money, in place of what this expense had before.

    Raises:
        UnknownNameError: There is no such experiment.
        BudgetError: The sum passes the budget; the transaction is to be given up.
    """
    experiments.find(tx.connection, experiment)
    _put(tx, experiment, name, reserved_usd=usd, cost_usd=None)
    experiments.require_budget(tx, experiment)


def settle(tx: Transaction, experiment: str, name: str, usd: float) -> None:
    """Write down what an expense cost in all, in place of its reservation."""
    experiments.find(tx.connection, experiment)
    _put(tx, experiment, name, reserved_usd=0.0, cost_usd=usd)


def everything(connection: Connection, experiment: str) -> list[Expense]:
    """Return the expenses of an experiment, oldest first."""
    rows = connection.execute(select(_TABLE).where(_TABLE.c.experiment == experiment).order_by(_TABLE.c.seq))
    return [
        Expense(name=row["name"], at=row["at"], reserved_usd=row["reserved_usd"], cost_usd=row["cost_usd"])
        for row in rows.mappings()
    ]


def _put(tx: Transaction, experiment: str, name: str, *, reserved_usd: float, cost_usd: float | None) -> None:
    amounts = {"at": tx.now, "reserved_usd": reserved_usd, "cost_usd": cost_usd}
    statement = tx.insert(_TABLE).values({"experiment": experiment, "name": name, **amounts})
    keys = [_TABLE.c.experiment, _TABLE.c.name]
    tx.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=amounts))
