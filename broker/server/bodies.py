"""What files, uploads, jobs and batches are asked for with: one class for each body."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, StrictStr

from broker.server.validation import Body

MAX_METADATA = 16
_MAX_METADATA_KEY = 64
_MAX_METADATA_VALUE = 512

MIN_EXPIRY_S = 3600
MAX_EXPIRY_S = 2_592_000

# What a file may be for. `evals` is in OpenAI's list of what may be sent but not in its list of what a file may have.
UploadPurpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data"]
PartedPurpose = Literal["assistants", "batch", "fine-tune", "vision"]


def _check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_METADATA:
        raise ValueError(f"at most {MAX_METADATA} keys, but got {len(metadata)}")
    for key, value in metadata.items():
        if len(key) > _MAX_METADATA_KEY:
            raise ValueError(f"a key may have at most {_MAX_METADATA_KEY} characters, but {key[:20]!r}… has {len(key)}")
        if len(value) > _MAX_METADATA_VALUE:
            raise ValueError(f"the value of {key!r} may have at most {_MAX_METADATA_VALUE} characters")
    return metadata


Metadata = Annotated[dict[str, str], AfterValidator(_check_metadata)]


def _auto_or_int(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("expected an integer or the word 'auto'")


def _auto_or_number(value: object) -> object:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError("expected a number or the word 'auto'")


def _within(low: float, high: float, *, open_low: bool = False) -> AfterValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str):
            return value
        if value > high or (value <= low if open_low else value < low):
            raise ValueError(f"expected a value {'>' if open_low else '>='} {low:g} and <= {high:g}, but got {value}")
        return value

    return AfterValidator(check)


Count = Annotated[StrictInt | StrictStr, BeforeValidator(_auto_or_int)]
Number = Annotated[StrictFloat | StrictInt | StrictStr, BeforeValidator(_auto_or_number)]
Epochs = Annotated[Count, _within(1, 50)]
BatchSize = Annotated[Count, _within(1, 256)]
Multiplier = Annotated[Number, _within(0, 1e6, open_low=True)]
Beta = Annotated[Number, _within(0, 2, open_low=True)]


class Expiry(Body):
    """When a file goes away, counted from its creation."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S)


class NewFile(Body):
    """The fields of a file's form, the file itself aside."""

    purpose: UploadPurpose
    expires_after: Expiry | None = None


class NewUpload(Body):
    """A file that will come in parts."""

    filename: str = Field(min_length=1, max_length=1024)
    purpose: PartedPurpose
    bytes: int = Field(ge=0)
    mime_type: str = Field(max_length=255)
    expires_after: Expiry | None = None


class CompleteUpload(Body):
    """The end of an upload: its parts in order."""

    part_ids: list[str] = Field(max_length=10_000)
    md5: str | None = None


class SupervisedHyperparameters(Body):
    """How long and how fast; each may be `auto`."""

    batch_size: BatchSize = "auto"
    learning_rate_multiplier: Multiplier = "auto"
    n_epochs: Epochs = "auto"


class DpoHyperparameters(SupervisedHyperparameters):
    """As for SFT, and how far the model may move from its reference."""

    beta: Beta = "auto"


class Supervised(Body):
    """SFT."""

    hyperparameters: SupervisedHyperparameters = Field(default_factory=SupervisedHyperparameters)


class Dpo(Body):
    """Direct preference optimisation."""

    hyperparameters: DpoHyperparameters = Field(default_factory=DpoHyperparameters)


class TuningMethod(Body):
    """Which method; the settings of the others are ignored, as OpenAI does."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None
    reinforcement: dict[str, Any] | None = None


class Wandb(Body):
    """Where a client wants its metrics; kept and given back."""

    project: str
    name: str | None = None
    entity: str | None = None
    tags: list[str] = Field(default_factory=list)


class Integration(Body):
    """One integration."""

    type: Literal["wandb"]
    wandb: Wandb


class NewJob(Body):
    """A fine-tuning job."""

    model: str = Field(min_length=1, max_length=512)
    training_file: str = Field(max_length=256)
    validation_file: str | None = Field(default=None, max_length=256)
    hyperparameters: SupervisedHyperparameters | None = None
    method: TuningMethod | None = None
    suffix: str | None = Field(default=None, min_length=1, max_length=64)
    seed: int | None = Field(default=None, ge=0, le=2_147_483_647)
    integrations: list[Integration] | None = Field(default=None, max_length=5)
    metadata: Metadata | None = None


class NewBatch(Body):
    """A file of requests."""

    input_file_id: str = Field(max_length=256)
    endpoint: Literal[
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/completions",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/videos",
    ]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: Expiry | None = None


class Empty(Body):
    """The body of cancel, pause and resume."""
