"""What goes into the body of a creating call. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.jobs.spec import Method, ParameterValue, TuneSpec
from broker.providers.contract import Parameter
from broker.providers.foreign_json import fields

if TYPE_CHECKING:
    from broker.jobs.records import Intent

INTENT_KEY = "broker_intent"
_EPOCHS = "passes over the rows; 'auto' is OpenAI's choice"
_BATCH = "rows in a step; 'auto' is OpenAI's choice, about 0.2 % of the rows"
_RATE = "factor on OpenAI's own learning rate; 'auto' is its choice"
_BETA = "DPO only: weight of the distance to the base model; 'auto' is OpenAI's choice"
# Bounds: the published schema of CreateFineTuningJobRequest, 2026-08.
HYPERPARAMETERS = (
    Parameter(name="n_epochs", types=("int",), minimum=1, maximum=50, auto=True, help=_EPOCHS),
    Parameter(name="batch_size", types=("int",), minimum=1, maximum=256, auto=True, help=_BATCH),
    Parameter(
        name="learning_rate_multiplier",
        types=("float",), minimum=0, exclusive_minimum=True, auto=True, help=_RATE,
    ),
    Parameter(name="beta", types=("float",), minimum=0, maximum=2, exclusive_minimum=True, auto=True, help=_BETA),
)  # fmt: skip
WANDB = (
    Parameter(name="wandb_project", types=("str",), help="send the loss curve to this Weights & Biases project"),
    Parameter(name="wandb_name", types=("str",), help="name of the run there"),
    Parameter(name="wandb_entity", types=("str",), help="team or user of the run there"),
    Parameter(name="wandb_tags", types=("list",), help="tags of the run there"),
)
PARAMETERS = (*HYPERPARAMETERS, *WANDB)


def job_body(intent: Intent, train_id: str, validation_id: str | None) -> dict[str, Any]:
    """Return the body of `POST /fine_tuning/jobs`.

    Args:
        intent: What is asked for; its key travels in the metadata.
        train_id: The uploaded training rows.
        validation_id: The uploaded validation rows, if any.
    """
    spec = intent.spec
    body: dict[str, Any] = {
        "model": spec.model,
        "training_file": train_id,
        "method": _method(spec),
        "seed": spec.seed,
        "metadata": {**spec.metadata, INTENT_KEY: intent.key},
    }
    if spec.suffix is not None:
        body["suffix"] = spec.suffix
    if validation_id is not None:
        body["validation_file"] = validation_id
    if integrations := _integrations(spec):
        body["integrations"] = integrations
    return body


def intent_of(job: dict[str, Any]) -> str | None:
    """Return the intent key that a remote job carries."""
    value = fields(job.get("metadata")).get(INTENT_KEY)
    return value if isinstance(value, str) else None


def _method(spec: TuneSpec) -> dict[str, Any]:
    kind = "dpo" if spec.method is Method.DPO else "supervised"
    given = {parameter.name: _given(spec, parameter.name) for parameter in HYPERPARAMETERS}
    values = {name: value for name, value in given.items() if value is not None}
    return {"type": kind, kind: {"hyperparameters": values}}


def _given(spec: TuneSpec, name: str) -> ParameterValue:
    return None if name == "beta" and spec.method is not Method.DPO else spec.parameters.get(name)


def _integrations(spec: TuneSpec) -> list[dict[str, Any]]:
    project = spec.parameters.get("wandb_project")
    if not project:
        return []
    wandb: dict[str, Any] = {"project": project}
    for name in ("name", "entity"):
        if value := spec.parameters.get(f"wandb_{name}"):
            wandb[name] = value
    tags = spec.parameters.get("wandb_tags")
    if isinstance(tags, tuple | list) and tags:
        wandb["tags"] = list(tags)
    return [{"type": "wandb", "wandb": wandb}]
