"""Judging models as they are: those of jobs here, tuned elsewhere, or any that answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.api.judges import named_judge
from broker.api.modelnames import ModelNames
from broker.api.opened import Opened
from broker.api.request import ExperimentRequest
from broker.errors import Problem, SpecError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.spec import Decoding, PromptPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.api.request import JudgeRequest, ModelRequest


class Evaluating(Opened):
    """Requests that tune nothing."""

    async def judgement(
        self,
        models: Sequence[str | ModelRequest],
        validation: str | None = None,
        *,
        policies: Sequence[PromptPolicy] = (),
        base: str | None = None,
        precision: str | None = None,
        experiment: str | None = None,
        metrics: Sequence[str] | None = None,
        encoder: str | None = None,
        judge: JudgeRequest | str | None = None,
        decoding: Decoding | None = None,
        budget_usd: float | None = None,
        batch: bool = False,
        allow_overlap: bool = False,
    ) -> ExperimentRequest:
        """Return the request to judge models on one validation set; nothing is planned yet.

        Args:
            models: Names as in `broker.api.modelnames`, or requests ready-made.
            validation: Validation rows; those of the settings' defaults when None.
            policies: System messages; every model is asked under each. Each row's own when there are none.
            base: The base of an adapter whose own word for it does not help.
            precision: Of the weights of local models.
            experiment: Name of the experiment; made from the validation set when None.
            metrics: Names of metrics.
            encoder: Sentence encoder of the similarity metric.
            judge: The model that judges answers, for metrics such as `judge:empathy`: `PROVIDER:MODEL`.
            decoding: How answers are drawn.
            budget_usd: Most that the experiment may reserve and spend.
            batch: Ask by the Batch API where there is one.
            allow_overlap: Go on when validation prompts are in training rows that the broker knows.

        Raises:
            SpecError: Names that nobody knows; all at once.
            UserError: Nothing to judge, or nothing to judge on.
        """
        judged_on = validation or self.settings.defaults.validation
        missing = [flag for flag, given in (("--model", models), ("--validation", judged_on)) if not given]
        if missing:
            fix = "broker eval --validation val.jsonl --model ACCOUNT:NAME"
            raise UserError(f"missing: {', '.join(missing)}", fix=fix)
        read = await self._read_models(models, base, precision)
        asked = [_under(model, policies) for model in read]
        return ExperimentRequest(
            name=experiment,
            validation=judged_on,
            evaluate=True,
            models=tuple(asked),
            bases=False,
            metrics=tuple(metrics) if metrics is not None else self.settings.defaults.metrics,
            decoding=decoding or Decoding(),
            encoder=encoder,
            judge=named_judge(judge) if isinstance(judge, str) else judge,
            budget_usd=budget_usd,
            batch=batch,
            allow_overlap=allow_overlap,
        )

    async def named(self, text: str, *, base: str | None = None, precision: str | None = None) -> ModelRequest:
        """Return the model to judge that a name means; arguments and errors as in `ModelNames.read`."""
        names = ModelNames(self._store, self.settings, self.accounts)
        return await blocking(names.read, text, base=base, precision=precision)

    async def _read_models(
        self, models: Sequence[str | ModelRequest], base: str | None, precision: str | None
    ) -> list[ModelRequest]:
        found: list[ModelRequest] = []
        problems: list[Problem] = []
        for model in models:
            if not isinstance(model, str):
                found.append(model)
                continue
            try:
                found.append(await self.named(model, base=base, precision=precision))
            except UserError as error:
                where = f"--model {model}" if error.where in ("", "--model") else f"--model {model}, {error.where}"
                problems.append(Problem(where=where, what=error.message, fix=error.fix))
        if base is not None and not problems and all(model.adapter is None for model in found):
            what = "no model here is an adapter folder, so there is nothing to put on a base"
            problems.append(Problem(where="--base", what=what, fix="leave it out, or --model local:ADAPTER_FOLDER"))
        if problems:
            raise SpecError(problems)
        return found


def _under(model: ModelRequest, policies: Sequence[PromptPolicy]) -> ModelRequest:
    return replace(model, policies=tuple(policies)) if policies else model
