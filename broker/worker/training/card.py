"""The model card that lies beside an adapter."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from broker.worker.devices import facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.worker.training.options import TrainOptions


def model_card(
    *, model: str, method: str, options: TrainOptions, seed: int, data: Mapping[str, Any], result: Mapping[str, Any]
) -> str:
    """Return the text of README.md.

    Args:
        model: The base.
        method: `sft` or `dpo`.
        options: The settings.
        seed: Of the run.
        data: `name`, `sha256` and `rows` of the training data.
        result: Numbers of the finished run.
    """
    front = ["---", f"base_model: {model}", "library_name: peft", "pipeline_tag: text-generation"]
    front += ["tags:", "- lora", f"- {method}", "---", ""]
    settings = {**asdict(options), "alpha": options.scaling, "seed": seed}
    versions = facts("cpu")["versions"]
    return "\n".join(
        [
            *front,
            f"# LoRA adapter for {model}",
            "",
            f"Trained with {method.upper()} on {data['rows']} rows of `{data['name']}` (sha256 `{data['sha256']}`).",
            "The loss is on the assistant's tokens only.",
            "",
            "```python",
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'base = AutoModelForCausalLM.from_pretrained("{model}", dtype="bfloat16")',
            'model = PeftModel.from_pretrained(base, "this folder")',
            f'tokenizer = AutoTokenizer.from_pretrained("{model}")',
            "```",
            "",
            *_table("Settings", settings),
            *_table("Result", result),
            *_table("Made with", versions),
        ]
    )


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    rows = [f"| {name} | {_text(value)} |" for name, value in values.items()]
    return [f"## {title}", "", "| | |", "|---|---|", *rows, ""]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in cast("tuple[object, ...]", value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
