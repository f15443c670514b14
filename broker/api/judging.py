"""The verbs about judges: have one compare two models."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from broker.api.judges import judge_spec, named_judge, price
from broker.api.pairs import Named, Pairs, answers_of, judged_by
from broker.api.purse import Purse
from broker.errors import SpecError, UserError
from broker.evaluation.families import in_family
from broker.evaluation.judging.asking import JUDGEMENTS, Counted, Judge
from broker.evaluation.pairwise import Answered, judge_pair, pair_questions
from broker.evaluation.preference import Pair, PreferenceResult, load_preferences, pair_folder, save_preference
from broker.evaluation.prompts import prompts
from broker.jobs.blocking import blocking
from broker.jobs.datasets import load_dataset
from broker.jobs.datasets.tokens import estimate_tokens
from broker.jobs.durable import make_folder
from broker.jobs.spec import JudgeSpec, ModelRef
from broker.providers.contract import Estimate
from broker.worker.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.request import JudgeRequest
    from broker.providers.contract import Answer, Completer

_LOCK = "judging.lock"
# Chooses prompts where not all are judged.
SEED = 713


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """What comparing two models by a judge comes to; nothing was asked yet.

    Attributes:
        pair: Who is compared; the left model is the one named first.
        judge: Who judges.
        criterion: What "better" means; the broker's own sentence when empty.
        rows: The prompts, with both answers.
        replies: Replies that the judge will be asked for, without those that are stored.
        estimate: What they cost.
        paid: They cost money.
        again: Verdicts that could not be had before are asked for once more.
    """

    pair: Pair
    judge: JudgeSpec
    criterion: str
    rows: tuple[Answered, ...]
    replies: int
    estimate: Estimate
    paid: bool
    again: bool = False


class Judging(Pairs):
    """Comparing by a judge."""

    async def plan_judging(
        self,
        first: str,
        second: str,
        experiment: str | None = None,
        *,
        judge: JudgeRequest | str | None = None,
        prompts: int | None = None,
        criterion: str = "",
        again: bool = False,
    ) -> PairPlan:
        """Return what it would take to have a judge say which of two models answers better.

        Args:
            first: A row of the experiment's table: its label, its model, or the id (or its beginning) of a job.
            second: Another one.
            experiment: Name of the experiment; the newest when None.
            judge: Who judges, as `PROVIDER:MODEL`; the settings' judge when None.
            prompts: How many prompts are judged; all when None.
            criterion: What "better" means, in a sentence for the judge.
            again: Ask once more for verdicts that could not be had before.

        Raises:
            UserError: The two cannot be compared, or there is nothing to judge.
            SpecError: There is no judge, or something stands against asking it.
            BudgetError: It would pass the experiment's budget.
        """
        named = await self.named_pair(first, second, experiment)
        asked = named_judge(judge) if isinstance(judge, str) else judge
        spec, problems = judge_spec(asked, self.settings, self.accounts)
        if spec is None or any(problem.severity == "error" for problem in problems):
            raise SpecError(problems)
        rows = await blocking(self._answered, named, prompts)
        if not any(row.askable for row in rows):
            raise UserError("there is nothing to judge: no prompt has two different answers", fix="name other rows")
        pair, told = _pair(named), " ".join(criterion.split())
        missing = await self._asking(pair, spec, again=again).missing(pair_questions(rows, spec, told))
        tokens = sum(estimate_tokens(str(one["content"])) for question in missing for one in question.messages)
        estimate, paid = price(spec, tokens, len(missing), self.accounts)
        await blocking(self._purse(pair).require, estimate.high_usd)
        return PairPlan(
            pair=pair,
            judge=spec,
            criterion=told,
            rows=rows,
            replies=len(missing),
            estimate=estimate,
            paid=paid,
            again=again,
        )

    async def judge(
        self,
        plan: PairPlan,
        *,
        on_judged: Callable[[Counted], None] = lambda _counted: None,
    ) -> PreferenceResult:
        """Have the judge compare, and keep the result for the experiment's table.

        Stopped and called again, it asks only what is missing.

        Args:
            plan: From `plan_judging`.
            on_judged: Called with every reply.

        Raises:
            BudgetError: It would pass the experiment's budget; nothing was asked.
            ProviderError: The judge cannot answer, or refuses; what it said is stored.
        """
        folder = pair_folder(self.data_dir, plan.pair)
        await blocking(make_folder, folder)
        lock = FileLock(folder / _LOCK)
        if not await blocking(lock.acquire):
            what = f"{plan.pair.left_label} and {plan.pair.right_label} are being judged by another process"
            raise UserError(what, fix="wait for it, then: the same command")
        asking = self._asking(plan.pair, plan.judge, on_judged=on_judged, again=plan.again)
        purse = self._purse(plan.pair)
        with ExitStack() as held:
            held.callback(lock.release)
            try:
                await blocking(purse.reserve, plan.estimate.high_usd)
                result = await judge_pair(plan.pair, plan.rows, asking, criterion=plan.criterion)
                await blocking(save_preference, result, self.data_dir)
            finally:
                with CancelScope(shield=True):
                    await blocking(purse.settle)
                    await asking.aclose()
        return in_family(result, await blocking(load_preferences, self.data_dir, plan.pair.experiment))

    def _asking(self, pair: Pair, spec: JudgeSpec, **options: Any) -> Judge:
        def opened() -> Completer:
            return self.accounts.get(spec.provider).completer(ModelRef(provider=spec.provider, name=spec.model))

        return Judge(spec, opened, pair_folder(self.data_dir, pair) / JUDGEMENTS, **options)

    def _answered(self, named: Named, most: int | None) -> tuple[Answered, ...]:
        """Return the prompts, with both answers: all, or a sample that is the beginning of every larger one."""
        specs = [judged_by(job) for job in named.jobs]
        requests = prompts(load_dataset(specs[0].validation, self._engine.artifacts))
        left, right = (answers_of(job, self.data_dir) for job in named.jobs)
        chosen = requests if most is None else Random(SEED).sample(requests, len(requests))[:most]
        return tuple(
            Answered(row=one.id, prompt=one.messages, left=_text(left.get(one.id)), right=_text(right.get(one.id)))
            for one in sorted(chosen, key=lambda one: int(one.id))
        )

    def _purse(self, pair: Pair) -> Purse:
        return Purse(self._store, self.data_dir, pair)


def _pair(named: Named) -> Pair:
    (left, right), (one, other) = named.jobs, named.rows
    return Pair(
        experiment=named.table.experiment,
        left=left.id,
        right=right.id,
        left_label=one.label,
        right_label=other.label,
        validation_sha256=one.validation_sha256,
    )


def _text(answer: Answer | None) -> str | None:
    return None if answer is None or answer.failure is not None else answer.text
