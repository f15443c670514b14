"""The server's backend over `broker.api.Broker`."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from anyio import to_thread

from broker.api.offline import SANDBOX
from broker.api.planning import Plan, PlannedJob
from broker.errors import SpecError, UnknownNameError
from broker.jobs.artifacts import Artifacts
from broker.jobs.records import Event, EventKind, Experiment, Job, NewJob
from broker.jobs.spec import DatasetRef, Decoding, Method, ModelRef, ParameterValue, RowFormat, TuneSpec
from broker.jobs.states import JobKind
from broker.providers.contract import Capabilities, CompletionRequest, Parameter
from broker.server.backend import ChatOrder, ChatPiece, Hyperparameters, StepCheckpoint, TuneOrder
from broker.server.batching import ChatBatcher
from broker.server.errors import unavailable, unsupported
from broker.server.ids import sort_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from anyio.abc import TaskGroup

    from broker.api import Broker

EXPERIMENT = "server"
_EVENTS_AT_ONCE = 1000
_ROW_FORMAT = {Method.SFT: RowFormat.CHAT, Method.DPO: RowFormat.PREFERENCE}
# OpenAI's name → what providers call it.
_PARAMETER_NAMES: Mapping[str, tuple[str, ...]] = {
    "n_epochs": ("n_epochs", "epochs"),
    "batch_size": ("batch_size",),
    "beta": ("beta",),
}
_FALLBACKS: Mapping[str, int | float] = {"n_epochs": 3, "batch_size": 8, "beta": 0.1, "learning_rate_multiplier": 1.0}
_MOST_ROWS = 256


class BrokerBackend:
    """Jobs go through the broker's store; chats of a local model through its `serve` process."""

    def __init__(self, broker: Broker, provider: str, tasks: TaskGroup) -> None:
        """Bind to an open broker.

        Args:
            broker: Open, and driving.
            provider: The account that tunes and answers.
            tasks: For the chat queue.
        """
        self._broker = broker
        self._account = provider
        self._provider = broker.accounts.get(provider)
        self._artifacts = Artifacts(broker.data_dir / "artifacts")
        self._local = broker.settings.account(provider).kind == "local"
        self._batcher = ChatBatcher(broker.workers, tasks) if self._local else None
        self._folders: dict[str, str] = {}

    @property
    def _capabilities(self) -> Capabilities:
        return self._provider.capabilities

    def against(self, base: str) -> str:
        """Return the provider's problems with a base."""
        problems = self._provider.check_model(self.base_ref(base))
        return "; ".join(problem.what for problem in problems if problem.severity == "error")

    def base_models(self) -> list[str]:
        """Return the account's default model, and the sandbox where it is local."""
        default = self._broker.settings.default_model(self._account) or self._capabilities.default_model
        return list(dict.fromkeys(name for name in (default, SANDBOX if self._local else "") if name))

    def base_ref(self, base: str) -> ModelRef:
        """Return a base, in the precision in which it is trained by default."""
        precision = self._announced("precision")
        name = str(precision.default) if precision and precision.default else None
        return ModelRef(provider=self._account, name=self._provider.pin(base), precision=name)

    def resolve(self, method: Method, hyperparameters: Hyperparameters, rows: int) -> dict[str, int | float | str]:
        """Return what `auto` stands for: the provider's own defaults."""
        del rows
        names = ["n_epochs", "batch_size", "learning_rate_multiplier"] + (["beta"] if method is Method.DPO else [])
        return {name: self._resolved(name, hyperparameters.get(name, "auto")) for name in names}

    async def submit(self, order: TuneOrder) -> tuple[str, int]:
        """Read the files, store their rows, and store the job under an id that follows from the server's own."""
        job_id = _broker_job_id(order.id)
        known = await self._known(job_id)
        if known is not None and isinstance(known.spec, TuneSpec):
            return job_id, known.spec.train.rows
        wanted = _ROW_FORMAT[order.method]
        train = await self._dataset(order.train, wanted, order.train_name)
        validation = await self._dataset(order.validation, wanted, order.validation_name) if order.validation else None
        spec = TuneSpec(
            provider=self._account,
            model=self._provider.pin(order.base),
            train=train,
            method=order.method,
            validation=validation,
            parameters=self._parameters(order.hyperparameters),
            seed=order.seed,
            suffix=order.suffix,
            metadata={**order.metadata, "ftjob": order.id},
        )
        problems = [problem for problem in self._provider.check(spec) if problem.severity == "error"]
        if problems:
            raise SpecError(problems)
        await self._start(job_id, spec)
        return job_id, train.rows

    async def job(self, broker_job: str) -> Job:
        """Return a job of the broker."""
        return await self._broker.job(broker_job)

    async def jobs(self, broker_jobs: Sequence[str]) -> Mapping[str, Job]:
        """Return many jobs of the broker by id."""
        return {job_id: await self._broker.job(job_id) for job_id in dict.fromkeys(broker_jobs)}

    async def events(self, broker_job: str) -> list[Event]:
        """Return all events of a job, oldest first."""
        found: list[Event] = []
        while True:
            after = found[-1].seq if found else 0
            page = await self._broker.events(broker_job, after=after, limit=_EVENTS_AT_ONCE)
            found += page
            if len(page) < _EVENTS_AT_ONCE:
                return found

    async def checkpoints(self, broker_job: str) -> list[StepCheckpoint]:
        """Return the checkpoints that the provider keeps, with the times and losses of the events."""
        job = await self._broker.job(broker_job)
        if job.handle is None:
            return []
        kept = await self._provider.checkpoints(job.handle)
        events = await self.events(broker_job)
        made = {event.data.get("step"): event.at for event in events if event.kind is EventKind.CHECKPOINT}
        losses = {event.data.get("step"): event.data for event in events if event.kind is EventKind.PROGRESS}
        return [
            StepCheckpoint(
                step=item.step,
                created_at=int(made.get(item.step, job.updated_at).timestamp()),
                model=item.model,
                metrics=_metrics({**losses.get(item.step, {}), **item.metrics}),
            )
            for item in sorted(kept, key=lambda item: item.step)
        ]

    async def cancel(self, broker_job: str) -> None:
        """Ask for the end of a job."""
        await self._broker.cancel(broker_job)

    async def pause(self, broker_job: str) -> None:
        """Ask for a pause of a job."""
        if not self._capabilities.pausable:
            raise unsupported("pause", f"the provider {self._account!r} cannot pause a job")
        await self._broker.pause(broker_job)

    async def resume(self, broker_job: str) -> None:
        """Ask for a paused job to go on."""
        await self._broker.resume(broker_job)

    async def chat(self, orders: Sequence[ChatOrder]) -> AsyncGenerator[tuple[int, ChatPiece]]:
        """Yield the pieces of the answers as they come."""
        if self._batcher is not None:
            pieces = self._batcher.chat(orders, await self._folder(orders[0].model.name))
        else:
            pieces = self._ask(orders)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _ask(self, orders: Sequence[ChatOrder]) -> AsyncGenerator[tuple[int, ChatPiece]]:
        """Ask a provider that is not the local machine: each answer comes as one piece."""
        if orders[0].logprobs is not None:
            raise unsupported("logprobs", f"the provider {self._account!r} does not tell them")
        completer = await self._broker.completer(orders[0].model)
        requests = [_completion_request(str(position), order) for position, order in enumerate(orders)]
        try:
            async for answer in completer.complete(requests):
                if answer.failure:
                    raise unavailable(f"The model gave no answer: {answer.failure}")
                piece = ChatPiece(
                    text=answer.text,
                    finish_reason=answer.finish_reason if answer.finish_reason in _FINISHES else "stop",
                    input_tokens=answer.input_tokens,
                    output_tokens=answer.output_tokens,
                )
                yield int(answer.id), piece
        finally:
            await completer.aclose()

    # --- small steps ------------------------------------------------------------------------------------------------

    async def _folder(self, base: str) -> str:
        """Return where the worker finds a base; the sandbox is made first when it is missing."""
        if base not in self._folders:
            self._folders[base] = str(await self._broker.build_sandbox()) if base == SANDBOX else base
        return self._folders[base]

    async def _known(self, job_id: str) -> Job | None:
        try:
            return await self._broker.job(job_id)
        except UnknownNameError:
            return None

    async def _dataset(self, path: Path, wanted: RowFormat, name: str) -> DatasetRef:
        from broker.jobs.datasets import read_dataset, store_dataset

        dataset = await to_thread.run_sync(partial(read_dataset, path, format=wanted, name=name))
        return await to_thread.run_sync(store_dataset, dataset, self._artifacts)

    async def _start(self, job_id: str, spec: TuneSpec) -> None:
        estimate = self._provider.estimate(spec)
        job = NewJob(id=job_id, spec=spec, label=spec.metadata["ftjob"], reserved_usd=estimate.high_usd)
        planned = PlannedJob(job=job, kind=JobKind.TUNE, estimate=estimate, paid=self._capabilities.paid)
        experiment = Experiment(name=EXPERIMENT, created_at=datetime.now(UTC))
        await self._broker.start(Plan(experiment=experiment, jobs=(planned,)))

    def _parameters(self, hyperparameters: Hyperparameters) -> dict[str, ParameterValue]:
        given = {name: value for name, value in hyperparameters.items() if value != "auto"}
        found: dict[str, ParameterValue] = {}
        for name, value in given.items():
            if name == "learning_rate_multiplier":
                found.update(self._learning_rate(float(value)))
            elif name == "batch_size" and self._announced("grad_accum"):
                found.update({"batch_size": value, "grad_accum": 1})  # OpenAI means the rows of a whole step
            elif (parameter := self._first(_PARAMETER_NAMES.get(name, ()))) is not None:
                found[parameter.name] = value
        return found

    def _learning_rate(self, multiplier: float) -> dict[str, ParameterValue]:
        if self._announced("learning_rate_multiplier"):
            return {"learning_rate_multiplier": multiplier}
        rate = self._first(("learning_rate", "lr"))
        if rate is None or not isinstance(rate.default, int | float):
            return {}
        return {rate.name: rate.default * multiplier}

    def _resolved(self, name: str, value: int | float | str) -> int | float | str:
        if value != "auto":
            return value
        parameter = self._first(_PARAMETER_NAMES.get(name, ()))
        default = parameter.default if parameter else None
        if isinstance(default, bool) or not isinstance(default, int | float):
            default = _FALLBACKS[name]
        if name != "batch_size":
            return default
        accumulated = self._announced("grad_accum")
        times = accumulated.default if accumulated and isinstance(accumulated.default, int) else 1
        return min(int(default) * times, _MOST_ROWS)

    def _announced(self, name: str) -> Parameter | None:
        return self._first((name,))

    def _first(self, names: Sequence[str]) -> Parameter | None:
        return next((item for item in self._capabilities.parameters if item.name in names), None)


_FINISHES = frozenset({"stop", "length", "content_filter"})


def _broker_job_id(server_id: str) -> str:
    """Return the broker's id of a job: it follows from the server's, so it is made at most once."""
    return f"tune-{(sort_key(server_id) or server_id)[-13:]}"


def _metrics(data: Mapping[str, object]) -> dict[str, float]:
    names = {
        "loss": "train_loss",
        "train_loss": "train_loss",
        "valid_loss": "valid_loss",
        "validation_loss": "valid_loss",
    }
    found = {names[name]: value for name, value in data.items() if name in names}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _completion_request(request_id: str, order: ChatOrder) -> CompletionRequest:
    return CompletionRequest(
        id=request_id,
        messages=tuple(order.messages),
        decoding=Decoding(
            temperature=order.temperature, top_p=order.top_p, max_tokens=order.max_tokens, seed=order.seed
        ),
        stop=order.stop,
    )
