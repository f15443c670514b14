"""What a person asks of the broker, before anything was checked: the common form of flags, recipes and Python calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.jobs.spec import Decoding, Method, ParameterValue, PromptPolicy

# The columns of a tone-of-voice table; others are asked for by name.
DEFAULT_METRICS = ("length",)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """One model to tune.

    Attributes:
        provider: The account.
        train: A file, or `hf:NAME[:split]`.
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
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    seed: int = 713
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
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
    """

    provider: str
    model: str | None = None
    adapter: str | None = None
    precision: str | None = None
    policies: tuple[PromptPolicy, ...] = (PromptPolicy(),)
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRequest:
    """Jobs and models, one validation set, metrics.

    Attributes:
        name: Name of the experiment; made from the validation set when None, so that jobs judged on the same set
            share a table.
        validation: A file, or `hf:NAME[:split]`; None evaluates nothing.
        split: Share of the training rows to hold out as the validation set, when there is no file for it.
        tunings: Models to tune.
        models: Models to ask as they are.
        bases: Ask the base of every tuned model too.
        policy: Which system message tuned models (and the bases asked with them) get.
        metrics: Names of metrics.
        decoding: How answers are drawn.
        encoder: Sentence encoder of the similarity metric.
        budget_usd: Most that may be reserved and spent.
        allow_overlap: Go on when validation prompts are in the training rows; the table says so.
        again: Make a new job even if the same one exists.
        notes: Anything the table must state.
    """

    name: str | None = None
    validation: str | None = None
    split: float | None = None
    tunings: tuple[TuneRequest, ...] = ()
    models: tuple[ModelRequest, ...] = ()
    bases: bool = True
    policy: PromptPolicy = field(default_factory=PromptPolicy)
    metrics: tuple[str, ...] = DEFAULT_METRICS
    decoding: Decoding = field(default_factory=Decoding)
    encoder: str | None = None
    budget_usd: float | None = None
    allow_overlap: bool = False
    again: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)

