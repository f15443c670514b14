"""Experiments and their money."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from broker.errors import BudgetError, UserError
from broker.jobs.codec import dump
from broker.jobs.store import schema
from broker.jobs.store.decoding import experiment_of
from broker.jobs.store.naming import unknown_experiment

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from broker.jobs.records import Experiment
    from broker.jobs.store.database import Transaction

_TABLE = schema.experiments
_JOBS = schema.jobs
_EXPENSES = schema.expenses
# Sums of decimal fractions of a dollar differ in the last bits; nobody bills those.
_ROUNDING_USD = 1e-9


def add(tx: Transaction, experiment: Experiment) -> Experiment:
    """Store an experiment or return the one of this name."""
    values = {
        "name": experiment.name,
        "created_at": tx.now,
        "validation_sha256": experiment.validation_sha256,
        "budget_usd": experiment.budget_usd,
        "decoding": dump(experiment.decoding),
        "notes": dump(dict(experiment.notes)),
    }
    new = tx.insert(_TABLE).values(values).on_conflict_do_nothing().returning(_TABLE.c.seq)
    if tx.connection.execute(new).first():
        return replace(experiment, created_at=tx.now)
    found = find(tx.connection, experiment.name)
    wanted = experiment.validation_sha256
    if wanted is None or wanted == found.validation_sha256:
        return found
    if found.validation_sha256 is not None:
        raise UserError(
            f"the experiment {found.name!r} has another validation set ({found.validation_sha256[:12]}…)",
            where=f"experiment {found.name}",
            fix="give this one another name: every model of an experiment answers the same questions",
        )
    tx.connection.execute(update(_TABLE).where(_TABLE.c.name == found.name).values(validation_sha256=wanted))
    return replace(found, validation_sha256=wanted)


def set_budget(tx: Transaction, name: str, budget_usd: float | None) -> Experiment:
    """Change a budget; what is reserved already stays, even when it passes the new one."""
    tx.connection.execute(update(_TABLE).where(_TABLE.c.name == name).values(budget_usd=budget_usd))
    return find(tx.connection, name)


def find(connection: Connection, name: str) -> Experiment:
    """Return an experiment by its name."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.name == name)).mappings().one_or_none()
    if row is None:
        known = connection.execute(select(_TABLE.c.name).order_by(_TABLE.c.seq.desc())).scalars().all()
        raise unknown_experiment(name, known)
    return experiment_of(row)


def everything(connection: Connection) -> list[Experiment]:
    """Return all experiments, newest first."""
    rows = connection.execute(select(_TABLE).order_by(_TABLE.c.seq.desc())).mappings()
    return [experiment_of(row) for row in rows]


def spent(connection: Connection, name: str) -> float:
    """Return what is reserved or spent in an experiment, USD, by earlier attempts and beside the jobs too."""
    each = _JOBS.c.earlier_usd + func.coalesce(_JOBS.c.cost_usd, _JOBS.c.reserved_usd)
    jobs = connection.execute(select(func.sum(each)).where(_JOBS.c.experiment == name)).scalar()
    beside = func.coalesce(_EXPENSES.c.cost_usd, _EXPENSES.c.reserved_usd)
    others = connection.execute(select(func.sum(beside)).where(_EXPENSES.c.experiment == name)).scalar()
    return float(jobs or 0.0) + float(others or 0.0)


def require_budget(tx: Transaction, name: str) -> None:
    """Refuse what this transaction has reserved when it passes the budget.

    The experiment's row is locked first: two processes that reserve at once are told apart.

    Raises:
        BudgetError: The sum passes the budget; the transaction is to be given up.
    """
    query = tx.locked(select(_TABLE.c.budget_usd).where(_TABLE.c.name == name), _TABLE)
    budget = tx.connection.execute(query).scalar()
    if budget is None:
        return
    total = spent(tx.connection, name)
    if total > budget + _ROUNDING_USD:
        raise BudgetError(
            f"{total:.2f} USD would be reserved or spent, the budget is {budget:.2f} USD",
            where=f"experiment {name}",
            fix="raise it with --budget, ask for fewer jobs, or use another experiment",
        )
