"""What the server asks of what is behind it. The one implementation is over the broker (`broker_backend.py`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from broker.jobs.spec import Method, ModelRef

if TYPE_CHECKING:
    from broker.jobs.records import Event, Job

Hyperparameters = Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOrder:
    """A fine-tuning job for the broker.

    Attributes:
        id: The server's own id of the job; the same id is never made twice.
        base: The provider's name of the base model.
        method: SFT or DPO.
        train: The file of training rows.
        train_name: What the client calls it.
        validation: The file of validation rows, if any.
        validation_name: What the client calls it.
        hyperparameters: OpenAI's names: n_epochs, batch_size, learning_rate_multiplier, beta; each may be `auto`.
        seed: Seed of the training.
        suffix: The client's words in the model's name.
        metadata: The client's own pairs.
    """

    id: str
    base: str
    method: Method
    train: Path
    train_name: str
    validation: Path | None = None
    validation_name: str = ""
    hyperparameters: Hyperparameters = field(default_factory=dict[str, int | float | str])
    seed: int = 0
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCheckpoint:
    """An intermediate model of a job."""

    step: int
    created_at: int
    model: ModelRef
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOrder:
    """One answer that is wanted.

    Attributes:
        model: Who shall answer.
        messages: Plain chat messages (`role`, `content`).
        temperature: 0 is greedy.
        top_p: Nucleus mass.
        max_tokens: Most tokens of the answer.
        seed: Seed of the sampler.
        stop: Texts at which the answer ends.
        logprobs: How many alternatives to tell for each token; `None` tells no log-probabilities.
        stream: Give the text as it comes.
    """

    model: ModelRef
    messages: Sequence[Mapping[str, Any]]
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPiece:
    """A piece of an answer; the last one has a `finish_reason` and the token counts.

    Attributes:
        text: What comes now.
        logprobs: Of the tokens of this piece: token, bytes, logprob, top_logprobs.
        finish_reason: Set in the last piece: `stop`, `length`, `content_filter`.
        input_tokens: Tokens of the prompt, in the last piece.
        output_tokens: Tokens of the answer, in the last piece.
    """

    text: str = ""
    logprobs: Sequence[Mapping[str, Any]] = ()
    finish_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Backend(Protocol):
    """The broker, as the server sees it."""

    def against(self, base: str) -> str:
        """Return what stands against using a base model (gated, shut down, no files), or an empty text."""
        ...

    def base_models(self) -> list[str]:
        """Return the provider's base models that are known to be usable."""
        ...

    def base_ref(self, base: str) -> ModelRef:
        """Return a base model as something that answers."""
        ...

    def resolve(self, method: Method, hyperparameters: Hyperparameters, rows: int) -> dict[str, int | float | str]:
        """Return the values that `auto` stands for.

        Args:
            method: SFT or DPO.
            hyperparameters: As asked.
            rows: Training rows.
        """
        ...

    async def submit(self, order: TuneOrder) -> tuple[str, int]:
        """Check the files, store the job, and return the broker's id of it with the number of training rows.

        Called again with the same `order.id` it returns the job that exists.

        Raises:
            DataError: Rows are not usable.
            SpecError: A parameter is not possible.
        """
        ...

    async def job(self, broker_job: str) -> Job:
        """Return a job of the broker."""
        ...

    async def jobs(self, broker_jobs: Sequence[str]) -> Mapping[str, Job]:
        """Return many jobs of the broker by id."""
        ...

    async def events(self, broker_job: str) -> list[Event]:
        """Return all events of a job, oldest first."""
        ...

    async def checkpoints(self, broker_job: str) -> list[StepCheckpoint]:
        """Return the intermediate models of a job, oldest first."""
        ...

    async def cancel(self, broker_job: str) -> None:
        """Ask for the end of a job."""

    async def pause(self, broker_job: str) -> None:
        """Ask for a pause of a job."""

    async def resume(self, broker_job: str) -> None:
        """Ask for a paused job to go on."""

    def chat(self, orders: Sequence[ChatOrder]) -> AsyncGenerator[tuple[int, ChatPiece]]:
        """Yield (position of the order, piece of its answer) as they come. Close it (`aclosing`) to stop early.

        Args:
            orders: All of the same model.

        Raises:
            ApiError: The prompt does not fit, or the model cannot answer.
        """
        ...
