"""The train op, called as the torch process calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from broker.worker.ops.train import train
from broker.worker.session import Session

if TYPE_CHECKING:
    import torch

Make = Any


class Record:
    """Collects the events of a session."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.session = Session(self.events.append, device="cpu")

    def losses(self) -> list[float]:
        return [event["loss"] for event in self.events if event["kind"] == "progress"]

    def log(self) -> str:
        return "\n".join(event["message"] for event in self.events if event["kind"] == "log")


def run(args: dict[str, Any]) -> tuple[dict[str, Any], Record]:
    record = Record()
    return train(args, record.session), record


def adapter(args: dict[str, Any]) -> dict[str, torch.Tensor]:
    return load_file(Path(args["run"]) / "adapter" / "adapter_model.safetensors")


def test_sft_learns_and_leaves_a_peft_adapter(train_args: Make, tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    args = train_args(parameters={"epochs": 6})
    result, record = run(args)
    assert record.losses()[-1] < record.losses()[0] * 0.8
    assert result["steps"] == 18 and result["stopped"] is None
    event = next(event for event in record.events if event["kind"] == "progress")
    assert {
        "step",
        "total_steps",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_s",
        "epoch",
        "eta_s",
    } <= event.keys()
    folder = Path(args["run"]) / "adapter"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    loaded: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), folder)
    assert loaded.peft_config["default"].r == 8
    assert json.loads((folder / "adapter_config.json").read_text())["bias"] == "none"


def test_the_same_run_twice_gives_the_same_bytes(train_args: Make) -> None:
    one, two = train_args("one"), train_args("two")
    run(one)
    run(two)
    files = [Path(args["run"]) / "adapter" / "adapter_model.safetensors" for args in (one, two)]
    assert files[0].read_bytes() == files[1].read_bytes()
