"""What a person asks of the broker, before anything was checked: the common form of flags, recipes and Python calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.errors import UserError
from broker.jobs.spec import Decoding, Method, ParameterValue, PromptPolicy

if TYPE_CHECKING:
    from broker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """One model to tune.

    Attributes:
        provider: The account.
        train: A file, `hf:NAME[:split]`, or `mix:NAME` for a mix of the request.
        model: The base; the account's default when None.
        method: SFT or DPO.
        parameters: Hyperparameters by name.
        seed: Seed of the training.
        suffix: The user's own words in the tuned model's name.
        metadata: The user's own key/value pairs.
        label: Shown in the table.
        priority: Higher first.
    """

    provider: str
    train: str
    model: str | None = None
    method: Method = Method.SFT
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    seed: int = 713
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    label: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model to ask as it is.

    Attributes:
        provider: The account.
        model: The model; the account's default when None.
        adapter: Folder of a PEFT adapter, for local models.
        precision: Precision of the weights, for local models.
        policies: Which system messages it is asked under.
        label: Shown in the table.
        tune_job: Id of the tuning job here whose model is meant, in place of a name.
    """

    provider: str
    model: str | None = None
    adapter: str | None = None
    precision: str | None = None
    policies: tuple[PromptPolicy, ...] = (PromptPolicy(),)
    label: str = ""
    tune_job: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixRequest:
    """Training rows mixed of two sources, named as `mix:NAME`.

    Attributes:
        name: Its name.
        real: Rows that people wrote: a source like `TuneRequest.train`.
        synthetic: Rows that a model wrote.
        ratio: `A:B`: so many rows of each, or, with `rows`, such shares of them.
        rows: Rows of the mix, when the ratio is one of shares.
        seed: Of the draw and the order.
        stratify: A key beside the messages, `length`, or `none`; chosen when None.
    """

    name: str
    real: str
    synthetic: str
    ratio: str
    rows: int | None = None
    seed: int = 0
    stratify: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """The model that judges answers.

    Attributes:
        provider: The account that asks it; the settings' judge when None.
        model: The model; the account's default when None.
        samples: Judgements of each answer; the settings' number, or 3, when None.
        temperature: Of its replies; the settings' figure, or 1, when None.
    """

    provider: str | None = None
    model: str | None = None
    samples: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRequest:
    """Jobs and models, one validation set, metrics.

    Attributes:
        name: Name of the experiment; made from the validation set when None, so that jobs judged on the same set
            share a table.
        validation: A file, or `hf:NAME[:split]`.
        split: Share of the training rows to hold out as the validation set, when there is no file for it. Without
            either, the rows that the training file marks (`"split": "validation"`) are the validation set.
        evaluate: True complains when there is nothing to judge on, None judges when there is, False never judges.
        tunings: Models to tune.
        models: Models to ask as they are.
        mixes: Mixed training rows that `tunings` name.
        bases: Ask the base of every tuned model too.
        policy: Which system message tuned models (and the bases asked with them) get.
        metrics: Names of metrics; the evaluation's defaults when None.
        decoding: How answers are drawn.
        encoder: Sentence encoder of the similarity metric.
        judge: The model that judges answers, for metrics such as `judge:empathy`; the settings' when None.
        budget_usd: Most that may be reserved and spent.
        batch: Ask remote models by their Batch API, where they have one: half the price, within a day.
        allow_overlap: Go on when validation prompts are in the training rows; the table says so.
        again: Make a new job even if the same one exists.
        notes: Anything the table must state.
    """

    name: str | None = None
    validation: str | None = None
    split: float | None = None
    evaluate: bool | None = None
    tunings: tuple[TuneRequest, ...] = ()
    models: tuple[ModelRequest, ...] = ()
    mixes: tuple[MixRequest, ...] = ()
    bases: bool = True
    policy: PromptPolicy = field(default_factory=PromptPolicy)
    metrics: tuple[str, ...] | None = None
    decoding: Decoding = field(default_factory=Decoding)
    encoder: str | None = None
    judge: JudgeRequest | None = None
    budget_usd: float | None = None
    batch: bool = False
    allow_overlap: bool = False
    again: bool = False
    notes: Mapping[str, str] = field(default_factory=dict[str, str])


def one_job(
    settings: Settings,
    *,
    provider: str | None,
    train: str | None,
    validation: str | None,
    evaluate: bool | None = None,
    split: float | None = None,
    experiment: str | None = None,
    metrics: tuple[str, ...] | None = None,
    encoder: str | None = None,
    judge: JudgeRequest | None = None,
    decoding: Decoding | None = None,
    budget_usd: float | None = None,
    batch: bool = False,
    allow_overlap: bool = False,
    again: bool = False,
    **tuning: Any,
) -> ExperimentRequest:
    """Make a request of one tuning job, filled from the settings' defaults.

    Args:
        settings: Hold the defaults.
        provider: The account.
        train: Training rows.
        validation: Validation rows.
        evaluate: Judge the model and its base; as in `ExperimentRequest`.
        split: Share of the training rows to hold out.
        experiment: Name of the experiment.
        metrics: Names of metrics.
        encoder: Sentence encoder of the similarity metric.
        judge: The model that judges answers.
        decoding: How answers are drawn.
        budget_usd: Most that may be reserved and spent.
        batch: Ask by the Batch API where there is one.
        allow_overlap: Go on when validation prompts are in the training rows.
        again: Make a new job even if the same one exists.
        tuning: Further fields of `TuneRequest`.

    Raises:
        UserError: Flags are missing; the message names all of them.
    """
    validation = validation or (None if split is not None else settings.defaults.validation)
    judged = evaluate is not True or validation is not None or split is not None
    provider, train = _required(settings, provider, train, judged=judged)
    return ExperimentRequest(
        name=experiment,
        validation=validation,
        split=split,
        evaluate=evaluate,
        tunings=(TuneRequest(provider=provider, train=train, **tuning),),
        metrics=metrics if metrics is not None else settings.defaults.metrics,
        decoding=decoding or Decoding(),
        encoder=encoder,
        judge=judge,
        budget_usd=budget_usd,
        batch=batch,
        again=again,
        allow_overlap=allow_overlap,
    )


def _required(settings: Settings, provider: str | None, train: str | None, *, judged: bool) -> tuple[str, str]:
    """Return the account and the rows, or else the settings'; raise the error that names all missing flags."""
    provider, train = provider or settings.defaults.provider, train or settings.defaults.train
    if provider and train:
        return provider, train
    missing = [flag for flag, given in (("--provider", provider), ("--train", train)) if not given]
    also = "" if judged else ", --validation (or --split 0.1, or --no-evaluate)"
    fix = "give them, or set them in [defaults] of broker.toml"
    raise UserError(f"missing: {', '.join(missing)}{also}", fix=fix)
