"""`Broker`: everything that a person can do, in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.api.asking import Asking
from broker.api.comparing import Comparing
from broker.api.curating import Curating
from broker.api.evaluating import Evaluating
from broker.api.judges import named_judge
from broker.api.judging import Judging
from broker.api.reading import Reading
from broker.api.recipe import Recipe, load_recipe
from broker.api.request import ExperimentRequest, JudgeRequest, one_job
from broker.api.synthesizing import Synthesizing
from broker.api.voting import Voting
from broker.jobs.records import Handle, Job
from broker.jobs.spec import Decoding, Method, ParameterValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.api.planning import Plan
    from broker.api.request import ModelRequest


class Broker(Synthesizing, Voting, Judging, Reading, Asking, Evaluating, Comparing, Curating):
    """The broker, as an async context manager.

    ```python
    async with Broker() as broker:
        job = await broker.submit(provider="local", model="sandbox", train="train.jsonl", validation="val.jsonl")
        async for event in broker.watch(job):
            print(event.data)
        print(await broker.results())
    ```

    While it is open with `drive=True`, it drives every unfinished job of its store, also those of an earlier process.
    When it closes, remote jobs go on at their provider, local ones stop at a checkpoint, and the next `Broker` goes on
    with both.
    """

    async def plan(self, request: ExperimentRequest) -> Plan:
        """Read, check and price a request; store and send nothing.

        Args:
            request: What is wanted.

        Raises:
            DataError: Bad rows, with file and line.
            SpecError: Every other problem, all at once.
        """
        return await self._planner.plan(request)

    async def submit(
        self,
        *,
        provider: str | None = None,
        train: str | Path | None = None,
        validation: str | Path | None = None,
        model: str | None = None,
        method: Method | str = Method.SFT,
        experiment: str | None = None,
        seed: int = 713,
        suffix: str | None = None,
        metadata: Mapping[str, str] | None = None,
        metrics: Sequence[str] | None = None,
        encoder: str | None = None,
        judge: JudgeRequest | str | None = None,
        decoding: Decoding | None = None,
        split: float | None = None,
        budget_usd: float | None = None,
        again: bool = False,
        **parameters: ParameterValue,
    ) -> Job:
        """Tune one model and judge it, beside its base, on the validation set.

        Args:
            provider: The account; `[defaults] provider` of the settings when None.
            train: Training rows: a file, or `hf:NAME[:split]`.
            validation: Validation rows, likewise; without them (and without `split`) nothing is judged.
            model: The base; the account's default when None.
            method: `sft` or `dpo`.
            experiment: Name of the experiment; made from the validation set when None.
            seed: Seed of the training.
            suffix: Your own words in the tuned model's name.
            metadata: Your own key/value pairs.
            metrics: Names of metrics.
            encoder: Sentence encoder of the similarity metric.
            judge: The model that judges answers, for metrics such as `judge:empathy`: `PROVIDER:MODEL`.
            decoding: How answers are drawn.
            split: Share of the training rows to hold out for validation.
            budget_usd: Most that the experiment may reserve and spend.
            again: Make a new job even if the same one exists.
            parameters: Hyperparameters by name, such as `epochs=3, precision="int8"`.

        Returns:
            The tuning job: the same one as before if it exists and `again` is False.

        Raises:
            UserError: Bad input, with place and fix.
        """
        tuning = {"model": model, "method": Method(method), "seed": seed, "suffix": suffix, "parameters": parameters}
        judging = {"metrics": metrics and tuple(metrics), "encoder": encoder, "decoding": decoding, "split": split}
        judged = {"judge": named_judge(judge) if isinstance(judge, str) else judge}
        where = {"experiment": experiment, "budget_usd": budget_usd, "again": again, "metadata": metadata or {}}
        rows = {"train": train and str(train), "validation": validation and str(validation)}
        asked: dict[str, Any] = {**tuning, **judging, **judged, **where, **rows}
        return (await self.start(await self.plan(one_job(self.settings, provider=provider, **asked))))[0]

    async def evaluate(
        self, *models: str | ModelRequest, validation: str | Path | None = None, **options: Any
    ) -> list[Job]:
        """Judge models that are there already; `wait` for the jobs, then look at `results`.

        Args:
            models: Names such as `openai:ft:…`, `http://host:8000/v1#NAME`, `local:FOLDER`, `sandbox` or a job's id.
            validation: Validation rows: a file, or `hf:NAME[:split]`.
            options: As in `judgement`: policies, base, precision, experiment, metrics, encoder, decoding, …

        Returns:
            The evaluations, new ones and those that exist already.

        Raises:
            UserError: Bad input, with place and fix.
        """
        rows = str(validation) if validation else None
        return await self.start(await self.plan(await self.judgement(models, rows, **options)))

    async def run(self, recipe: Path | str | Recipe, *, again: bool = False) -> Plan:
        """Start an experiment from a recipe; `wait` for its jobs, or `watch` them.

        Args:
            recipe: A TOML file, or a recipe already read.
            again: Make new jobs even if the same ones exist.
        """
        read = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
        for wanted in read.syntheses(again=again):
            await self._made(wanted)
        plan = await self.plan(read.request(again=again))
        await self.start(plan)
        return plan

    async def adopt(
        self,
        provider: str,
        remote_id: str,
        *,
        job: str | None = None,
        validation: str | None = None,
        experiment: str | None = None,
    ) -> Job:
        """Take over a job that exists at a provider.

        Args:
            provider: The account.
            remote_id: The provider's own id.
            job: The `lost` job that it is; a job of its own when None.
            validation: Judge its model, beside its base, on these rows.
            experiment: Name of the experiment.

        Raises:
            UserError: The provider does not know it, or the job is not lost.
        """
        handle = Handle(provider=provider, id=remote_id)
        if job is not None:
            return await self._control.settle(handle, job)
        known = await self.jobs(providers=[provider], handles=[remote_id])
        if known:
            return known[0]
        spec = await self._control.recall(handle)
        request = ExperimentRequest(name=experiment, validation=validation)
        return (await self.start(await self._planner.plan(request, adopted=[(handle, spec)])))[0]
