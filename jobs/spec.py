"""What a person asks for: frozen values, free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.jobs.states import JobKind

# A parameter of a job: `None` means "not given", the word "auto" is the provider's own choice.
Scalar = bool | int | float | str | None
ParameterValue = Scalar | tuple[str, ...]


class Method(StrEnum):
    """How a model is tuned."""

    SFT = "sft"
    DPO = "dpo"


class RowFormat(StrEnum):
    """The internal form of a data set's rows."""

    CHAT = "chat"
    PREFERENCE = "preference"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """A stored, content-addressed data set.

    Attributes:
        sha256: Hash of the canonical JSONL file; its name in the artifact store.
        name: What a person calls it (file name or `hf:NAME`).
        format: The internal form of its rows.
        rows: Number of rows.
        bytes: Size of the canonical file.
        tokens: Estimated tokens of all rows together (about four characters a token where no tokenizer is known).
        longest_tokens: Estimated tokens of the longest row.
        extra_sha256: Hash of the file with the rows' other keys (lineage, ids), one line a row; `None` when there are
            none. The main file never holds them, so it can be uploaded as it is.
    """

    sha256: str
    name: str
    format: RowFormat
    rows: int
    bytes: int
    tokens: int
    longest_tokens: int
    extra_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model that can answer.

    Attributes:
        provider: The account (name in the settings) that serves it.
        name: The provider's name for it: a hub id, a folder, `gpt-4o-mini-2024-07-18`, `ft:…`.
        adapter: Folder of a PEFT adapter to put on the base `name`, for local models only.
        precision: Precision of the base's weights, for local models only (`bf16`, `fp32`, `int8`, `nf4`).
    """

    provider: str
    name: str
    adapter: str | None = None
    precision: str | None = None

    @property
    def label(self) -> str:
        """Return `provider:name`, with the precision where it is known."""
        return f"{self.provider}:{self.name}" + (f" ({self.precision})" if self.precision else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How answers are drawn; the same for every model of an experiment.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens of an answer.
        seed: Seed of the sampler.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPolicy:
    """Which system message a model gets with each validation prompt.

    Attributes:
        name: Shown in the table. `as-is` keeps each row's own system message.
        system: Replaces (or adds) the system message when given; an empty text removes it.
    """

    name: str = "as-is"
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """What a judge looks for in an answer, and on which scale.

    Attributes:
        name: One word; the key of the judge's reply, and the metric `judge:NAME`.
        description: What is judged, in a sentence or two, for the judge.
        low: Lowest score.
        high: Highest score.
        anchors: What some scores mean: (score, meaning), lowest first.
        needs_expected: The judge sees the expected answer too; rows without one are not judged.
        lower_is_better: The lowest score is the best one.
        prompt: Replaces the sentences that introduce the task; the broker's own when empty.
        source: Where the rubric is from.
    """

    name: str
    description: str
    low: float = 0.0
    high: float = 10.0
    anchors: tuple[tuple[float, str], ...] = ()
    needs_expected: bool = False
    lower_is_better: bool = False
    prompt: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSpec:
    """The model that judges answers.

    Attributes:
        provider: The account that asks it.
        model: The provider's name for it, pinned to a snapshot where there are some.
        samples: Judgements of each answer.
        temperature: Of its replies; above 0, so that several samples are several opinions.
        max_tokens: Most tokens of a reply.
        seed: Of the first sample; the others count up from it.
        rubrics: Those that do not come with the broker.
    """

    provider: str
    model: str
    samples: int = 3
    temperature: float = 1.0
    max_tokens: int = 512
    seed: int = 0
    rubrics: tuple[Rubric, ...] = ()

    @property
    def label(self) -> str:
        """Return `provider:model`."""
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSpec:
    """A tuning job, as asked for.

    Attributes:
        provider: The account that shall tune.
        model: The base model, already pinned to a snapshot where the provider has them.
        method: SFT or DPO.
        train: The training rows.
        validation: Rows whose loss the provider reports while it trains, if any. Not the frozen set of the evaluation.
        parameters: Names and values as announced in the provider's `Capabilities.parameters`.
        seed: Seed of the training.
        suffix: The user's own words in the tuned model's name.
        metadata: The user's own key/value pairs, sent along.
    """

    provider: str
    model: str
    train: DatasetRef
    method: Method = Method.SFT
    validation: DatasetRef | None = None
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    seed: int = 713
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """An evaluation of one model on one frozen validation set.

    Attributes:
        provider: The account that answers.
        validation: The frozen set: prompts with expected answers.
        model: The model to ask; `None` when it is the result of `tune_job`.
        tune_job: Id of the tuning job whose model is asked.
        policy: Which system message it gets.
        decoding: How answers are drawn.
        metrics: Names of the metrics to compute.
        encoder: The sentence encoder of the similarity metric (hub id, folder, or `sandbox-encoder`).
        judge: The model that judges the answers, for metrics that need one.
    """

    provider: str
    validation: DatasetRef
    model: ModelRef | None = None
    tune_job: str | None = None
    policy: PromptPolicy = field(default_factory=PromptPolicy)
    decoding: Decoding = field(default_factory=Decoding)
    metrics: tuple[str, ...] = ()
    encoder: str | None = None
    judge: JudgeSpec | None = None


# Option of a synthesis that shall use no answers of other jobs.
FRESH = "fresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesizeSpec:
    """A synthesis job: source texts to a clean data set by way of a completer.

    Attributes:
        provider: The account that answers.
        model: The model asked.
        pipeline: Name of the pipeline (`qa`, `preference`, `persona`, or `module:attribute`).
        source: Artifact hash of the canonical source rows.
        source_name: What a person calls the source.
        rows: Number of accepted rows wanted.
        output: Folder that receives the data set.
        options: Options of the pipeline.
        seed: Seed of every random choice.
    """

    provider: str
    model: str
    pipeline: str
    source: str
    source_name: str
    rows: int
    output: str
    options: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    seed: int = 0


Spec = TuneSpec | EvaluateSpec | SynthesizeSpec
SPEC_TYPES: dict[JobKind, type[TuneSpec] | type[EvaluateSpec] | type[SynthesizeSpec]] = {
    JobKind.TUNE: TuneSpec,
    JobKind.EVALUATE: EvaluateSpec,
    JobKind.SYNTHESIZE: SynthesizeSpec,
}


def kind_of(spec: Spec) -> JobKind:
    """Return the kind of job that a spec describes."""
    return next(kind for kind, spec_type in SPEC_TYPES.items() if isinstance(spec, spec_type))
