"""What can go wrong in training, and what the precisions do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from broker.errors import WorkerError
from broker.worker.ops.train import train
from broker.worker.session import Session
from tests.fakes.tiny_model import chat_row, write_rows

Make = Callable[..., dict[str, Any]]
Events = list[dict[str, Any]]


def run(args: dict[str, Any], stop_at: int | None = None) -> tuple[dict[str, Any], Events]:
    """Train; `stop_at` pauses after that step."""
    events: Events = []
    session = Session(lambda event: watch(event), device="cpu")

    def watch(event: dict[str, Any]) -> None:
        events.append(event)
        if stop_at is not None and event["kind"] == "progress" and event["step"] == stop_at:
            session.request_stop("pause")

    return train(args, session), events


def losses(events: Events) -> list[float]:
    return [event["loss"] for event in events if event["kind"] == "progress"]


def log(events: Events) -> str:
    return "\n".join(event["message"] for event in events if event["kind"] == "log")


def adapter(args: dict[str, Any]) -> Path:
    return Path(args["run"]) / "adapter" / "adapter_model.safetensors"


def status(args: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((Path(args["run"]) / "status.json").read_text())
    return data


def test_halved_micro_batches_give_the_same_losses(train_args: Make) -> None:
    plain, short = train_args("plain"), train_args("short", fault_memory_rows=1)
    _, calm = run(plain)
    result, hurt = run(short)
    assert result["micro_batch"] == 1
    assert "micro-batch now 2, accumulation 4" in log(hurt) and "micro-batch now 1, accumulation 8" in log(hurt)
    assert losses(hurt) == pytest.approx(losses(calm), abs=1e-5)
    one, two = load_file(adapter(plain)), load_file(adapter(short))
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)


def test_a_single_row_without_memory_fails_with_advice(train_args: Make) -> None:
    args = train_args(fault_memory_rows=0)
    with pytest.raises(torch.OutOfMemoryError):
        run(args)
    assert status(args)["state"] == "failed"
    assert status(args)["error"]["kind"] == "out_of_memory" and "--batch-size" in status(args)["error"]["fix"]


def test_a_loss_that_is_no_number_names_step_and_rows(train_args: Make) -> None:
    args = train_args(parameters={"lr": 1e30, "div_factor": 1.0, "max_grad_norm": 0.0, "epochs": 4})
    with pytest.raises(WorkerError) as caught:
        run(args)
    assert caught.value.kind == "nan_loss"
    assert "at step 2 of 12 (epoch 1, rows " in str(caught.value)
    assert status(args)["error"]["kind"] == "nan_loss"


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_precisions_learn_and_a_resumed_run_is_bit_equal(train_args: Make, precision: str, dtype: str) -> None:
    parameters = {"precision": precision, "adapter_dtype": dtype, "epochs": 4}
    whole, broken = train_args("whole", parameters=parameters), train_args("broken", parameters=parameters)
    _, events = run(whole)
    assert losses(events)[-1] < losses(events)[0]
    assert run(broken, stop_at=5)[0] == {"stopped": "pause"}
    assert status(broken)["state"] == "paused"
    _, rest = run(broken)
    assert "goes on from step-000005" in log(rest)
    assert adapter(whole).read_bytes() == adapter(broken).read_bytes()
    wanted = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    assert {tensor.dtype for tensor in load_file(adapter(whole)).values()} == {wanted}


def test_a_quantized_base_keeps_its_head(train_args: Make) -> None:
    from broker.worker.models import MODELS

    for precision in ("int8", "nf4"):
        base = MODELS.base(train_args()["model"], precision, "cpu")
        kinds = {name.rsplit(".", 1)[-1]: type(module).__name__ for name, module in base.model.named_modules()}
        assert kinds["lm_head"] == "Linear" and base.model.lm_head.weight.dtype == torch.bfloat16
        assert kinds["q_proj"] == {"int8": "Linear8bitLt", "nf4": "Linear4bit"}[precision]


def test_a_damaged_checkpoint_is_passed_over(train_args: Make) -> None:
    parameters = {"checkpoint_steps": 1, "epochs": 2}
    whole, broken = train_args("whole", parameters=parameters), train_args("broken", parameters=parameters)
    run(whole)
    run(broken, stop_at=5)
    newest = Path(broken["run"]) / "checkpoints" / "step-000005" / "state.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    _, rest = run(broken)
    assert "step-000005 is damaged" in log(rest) and "goes on from step-000004" in log(rest)
    assert adapter(whole).read_bytes() == adapter(broken).read_bytes()


def test_dpo_learns_to_prefer(train_args: Make, preference_file: Path) -> None:
    args = train_args(method="dpo", train=str(preference_file), parameters={"epochs": 6, "dropout": 0.0})
    result, events = run(args)
    assert losses(events)[0] == pytest.approx(math.log(2), abs=1e-6)  # policy and reference begin equal
    assert losses(events)[-1] < 0.5 and result["reward_accuracy"] == 1.0 and result["reward_margin"] > 0


def test_gradient_checkpointing_changes_nothing_but_memory(train_args: Make) -> None:
    _, plain = run(train_args("plain"))
    _, saving = run(train_args("saving", parameters={"gradient_checkpointing": True}))
    assert losses(saving) == pytest.approx(losses(plain), abs=1e-6)


def test_cut_and_unlearnable_rows_are_reported(train_args: Make, tmp_path: Path) -> None:
    rows = [chat_row(number) for number in range(12)]
    rows[3]["messages"][1]["content"] = "long " * 100
    rows[7]["messages"][1]["weight"] = 0
    args = train_args(train=str(write_rows(tmp_path / "odd.jsonl", rows)), parameters={"max_length": 150})
    result, events = run(args)
    assert "1 row(s) longer than 150 tokens and cut at the end (--max-length): 4" in log(events)
    assert "and left out: 8" in log(events)
    assert result["truncated_rows"] == 1 and result["rows"] == 11


def test_validation_loss_is_told(train_args: Make, chat_file: Path) -> None:
    result, events = run(train_args(validation=str(chat_file)))
    assert result["validation_epoch_2"] < result["validation_epoch_1"] and "validation loss after epoch 2" in log(
        events
    )


def test_unknown_layers_are_named_with_the_known_ones(train_args: Make) -> None:
    with pytest.raises(WorkerError) as caught:
        run(train_args(parameters={"target_modules": ["c_attn"]}))
    assert caught.value.kind == "target_modules" and "q_proj" in caught.value.fix


def test_the_schedule_is_the_papers(train_args: Make) -> None:
    _, events = run(train_args(parameters={"epochs": 10, "lr": 2e-4}))
    rates = [event["learning_rate"] for event in events if event["kind"] == "progress"]
    assert len(rates) == 30
    assert rates[0] == pytest.approx(2e-4 / 25)
    assert max(rates) == pytest.approx(2e-4) and rates.index(max(rates)) == 8  # 30 % of 30 steps, from 0
    assert rates[-1] == pytest.approx(2e-4 / 25 / 1e3)
