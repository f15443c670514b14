"""What a judge costs that compares two models, in the books of their experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import BudgetError
from broker.evaluation.judging.asking import JUDGEMENTS, spent
from broker.evaluation.preference import experiment_folder, pair_folder

if TYPE_CHECKING:
    from pathlib import Path

    from broker.evaluation.preference import Pair
    from broker.jobs.store.protocol import Store

# Sums of prices are no exact numbers.
_ROUNDING_USD = 1e-9


class Purse:
    """The money for judging one pair (blocking).

    The file of the replies says what was paid, up to the last reply stored. While the judge is asked, the books hold
    that and the most that the rest can cost, so a process that is killed has spent no more than they say; judging the
    pair again, with nothing left to ask too, settles them.
    """

    def __init__(self, store: Store, data_dir: Path, pair: Pair) -> None:
        """Keep the books and the place of the replies.

        Args:
            store: Has the books.
            data_dir: The broker's data folder.
            pair: Who is compared.
        """
        self._store = store
        self._experiment = pair.experiment
        self._folder = experiment_folder(data_dir, pair.experiment)
        self._replies = pair_folder(data_dir, pair) / JUDGEMENTS
        self._name = _name(self._replies)

    def require(self, rest_usd: float) -> None:
        """Refuse early what `reserve` would refuse, so that nobody is asked for consent to it.

        Args:
            rest_usd: The most that the replies to come can cost.

        Raises:
            BudgetError: It would pass the budget.
        """
        budget = self._store.experiment(self._experiment).budget_usd
        if budget is None or not rest_usd:
            return
        own = sum(one.usd for one in self._store.expenses(self._experiment) if one.name == self._name)
        others = self._store.spent(self._experiment) - own + sum(self._unbooked().values())
        total = others + spent(self._replies) + rest_usd
        if total > budget + _ROUNDING_USD:
            what = f"{total:.2f} USD would be reserved or spent, the budget is {budget:.2f} USD"
            fix = "judge fewer prompts (--prompts), or take fewer samples (--samples)"
            raise BudgetError(what, where=f"experiment {self._experiment}", fix=fix)

    def reserve(self, rest_usd: float) -> None:
        """Reserve what the rest can cost, beside what was paid.

        Args:
            rest_usd: The most that the replies to come can cost.

        Raises:
            BudgetError: The sum passes the budget.
        """
        for name, usd in self._unbooked().items():
            self._store.settle_expense(self._experiment, name, usd)
        if rest_usd:
            self._store.reserve_expense(self._experiment, self._name, spent(self._replies) + rest_usd)

    def settle(self) -> None:
        """Write down what was paid; nothing where there was nothing to pay."""
        paid = spent(self._replies)
        if paid or any(one.name == self._name for one in self._store.expenses(self._experiment)):
            self._store.settle_expense(self._experiment, self._name, paid)

    def _unbooked(self) -> dict[str, float]:
        """Return what other pairs cost that are in no books: older brokers kept none."""
        known = {one.name for one in self._store.expenses(self._experiment)} | {self._name}
        paid = {_name(path): spent(path) for path in self._folder.glob(f"*/{JUDGEMENTS}") if _name(path) not in known}
        return {name: usd for name, usd in paid.items() if usd}


def _name(replies: Path) -> str:
    return f"judge {replies.parent.name}"
