"""Several models over one base in one call: each says what it says alone, to the last bit of its probabilities."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from broker.worker.generation import stack as stacks
from broker.worker.generation.plan import Ask, batches
from broker.worker.models import MODELS
from broker.worker.ops import generate as module
from broker.worker.ops.generate import generate
from broker.worker.ops.train import train
from broker.worker.session import Session
from tests.unit.worker.conftest import chats, training

if TYPE_CHECKING:
    from pathlib import Path

Answers = dict[str, dict[str, Any]]
NAMES = ["bare", "one", "two", "three"]


@pytest.fixture(scope="module")
def adapters(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Adapters of different ranks, layers and dtypes, and the base itself; no test changes them."""
    folder = tmp_path_factory.mktemp("adapters")
    train_args = training(folder, tiny, chats(folder))
    changes: dict[str, dict[str, Any]] = {
        "one": {},
        "two": {"target_modules": ["q_proj", "v_proj"], "rank": 4, "adapter_dtype": "bf16"},
        "three": {"target_modules": ["all-linear"], "rank": 16},
    }
    made: dict[str, str | None] = {"bare": None}
    for seed, (name, parameters) in enumerate(changes.items()):
        args = train_args(name, parameters={"epochs": 4, **parameters}, seed=seed)
        made[name] = str(train(args, Session(device="cpu"))["adapter"])
    return made


def questions(count: int, **more: Any) -> list[dict[str, Any]]:
    """Prompts of several lengths; the stop texts end the answers at different places."""
    words = ["apple", "a river in spring", "stone", "lamp"]
    return [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": f"What is {words[number % 4]}{'?' * (number % 3)}"}],
            "max_tokens": 4 + 7 * (number % 4),
            "stop": ["e", "A"][: number % 3],
            "temperature": 0.7 * (number % 2),
            **more,
        }
        for number in range(count)
    ]


def ask(args: dict[str, Any], session: Session | None = None) -> tuple[dict[str | None, Answers], list[dict[str, Any]]]:
    """Return the answers of each set by id, and all events."""
    events: list[dict[str, Any]] = []
    if session is None:
        session = Session(events.append, device="cpu")
    generate(args, session)
    found: dict[str | None, Answers] = {}
    for event in events:
        if event["kind"] == "answers":
            found.setdefault(event["set"], {}).update({one["id"]: one for one in event["answers"]})
    return found, events


def said(answers: Answers) -> dict[str, Any]:
    """Everything but the time."""
    return {name: {key: value for key, value in one.items() if key != "latency_s"} for name, one in answers.items()}


def sets(adapters: dict[str, str | None], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "adapter": adapters[name], "requests": rows} for name in NAMES]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
def test_each_model_says_what_it_says_alone(
    adapters: dict[str, str | None], tiny: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"model": str(tiny), "precision": precision, "batch_size": 4, "logprobs": 3}
    rows = questions(10)
    alone = {
        name: said(ask({**shared, "adapter": folder, "requests": rows})[0][None]) for name, folder in adapters.items()
    }
    assert len({str(one) for one in alone.values()}) == len(adapters)
    in_step: list[int] = []

    class Counting(stacks.Stack):
        def __init__(self, names: Any, sizes: Any) -> None:
            super().__init__(names, sizes)
            in_step.append(len(names))

    monkeypatch.setattr(module, "Stack", Counting)
    together, _ = ask({**shared, "sets": sets(adapters, rows)})
    assert in_step == [4, 4, 4], "every batch was made for four models in step"
    assert {name: said(together[name]) for name in NAMES} == alone
    again = said(ask({**shared, "adapter": adapters["one"], "requests": rows})[0][None])
    assert again == alone["one"], "what was done for the stack is undone"


def test_other_prompts_and_a_part_that_was_answered_before(adapters: dict[str, str | None], tiny: Path) -> None:
    shared = {"model": str(tiny), "precision": "bf16", "batch_size": 4, "logprobs": 0}
    rows, others = questions(10), questions(7, stop=[], max_tokens=9)
    whole = said(ask({**shared, "adapter": adapters["one"], "requests": rows})[0][None])
    left = [row for row in rows if whole[row["id"]]["batch"] != 0]
    found, _ = ask(
        {
            **shared,
            "sets": [
                {"name": "fresh", "adapter": adapters["one"], "requests": rows},
                {"name": "resumed", "adapter": adapters["one"], "requests": left},
                {"name": "other", "adapter": adapters["two"], "requests": others},
            ],
        }
    )
    assert said(found["fresh"]) == whole
    assert {name: one["text"] for name, one in found["resumed"].items()} == {
        row["id"]: whole[row["id"]]["text"] for row in left
    }
    assert said(found["other"]) == said(ask({**shared, "adapter": adapters["two"], "requests": others})[0][None])


def test_one_that_fails_is_told_and_the_others_go_on(
    adapters: dict[str, str | None], tiny: Path, tmp_path: Path
) -> None:
    rows = questions(6)
    broken = tmp_path / "broken"
    shutil.copytree(str(adapters["one"]), broken)
    (broken / "adapter_model.safetensors").write_bytes(b"not weights")
    shared = {"model": str(tiny), "precision": "fp32", "batch_size": 4}
    alone = said(ask({**shared, "adapter": adapters["two"], "requests": rows})[0][None])
    named = [("none", str(tmp_path)), ("two", adapters["two"]), ("broken", str(broken))]
    asked = [{"name": name, "adapter": folder, "requests": rows} for name, folder in named]
    found, events = ask({**shared, "sets": asked})
    failed = {event["set"]: event["error"] for event in events if event["kind"] == "failed"}
    assert failed.keys() == {"none", "broken"} and failed["none"]["kind"] == "no_adapter"
    assert {name: said(answers) for name, answers in found.items()} == {"two": alone}


def test_joining_and_leaving_between_two_batches(adapters: dict[str, str | None], tiny: Path) -> None:
    shared = {"model": str(tiny), "precision": "bf16", "batch_size": 2, "logprobs": 0}
    rows = questions(8)
    alone = {name: said(ask({**shared, "adapter": adapters[name], "requests": rows})[0][None]) for name in NAMES}
    events: list[dict[str, Any]] = []

    def hear(event: dict[str, Any]) -> None:
        events.append(event)
        if event["kind"] == "answers" and event["set"] == "one" and event["batch"] == 0:
            session.note({"join": {"name": "three", "adapter": adapters["three"], "requests": rows}})
            session.note({"leave": "two"})

    session = Session(hear, device="cpu")
    generate({**shared, "sets": [one for one in sets(adapters, rows) if one["name"] in ("one", "two")]}, session)
    found: dict[str, Answers] = {}
    for event in events:
        if event["kind"] == "answers":
            found.setdefault(event["set"], {}).update({one["id"]: one for one in event["answers"]})
    assert said(found["one"]) == alone["one"] and said(found["three"]) == alone["three"]
    assert len(found["two"]) == 2 and said(found["two"]).items() <= alone["two"].items()
    last = [event for event in events if event["kind"] == "progress"][-1]
    assert last["step"] == last["total_steps"] == 18


def test_without_memory_for_all_each_goes_alone(
    adapters: dict[str, str | None], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"model": str(tiny), "precision": "fp32", "batch_size": 4}
    rows = questions(6)
    alone = {name: said(ask({**shared, "adapter": adapters[name], "requests": rows})[0][None]) for name in NAMES}

    class Full(stacks.Stack):
        def on(self, model: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")

    monkeypatch.setattr(module, "Stack", Full)
    found, events = ask({**shared, "sets": sets(adapters, rows)})
    assert {name: said(found[name]) for name in NAMES} == alone
    assert [event["level"] for event in events if event["kind"] == "log"] == ["warning"]


def test_a_mixture_of_experts_is_never_stacked(tiny: Path) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = MixtralConfig(vocab_size=64, num_attention_heads=2, num_key_value_heads=1, num_local_experts=2, **sizes)
    cpu = torch.device("cpu")
    assert not stacks.can_stack(MixtralForCausalLM(config), cpu)
    assert stacks.can_stack(MODELS.base(str(tiny), "bf16", "cpu").model, cpu)


def test_long_prompts_get_fewer_rows() -> None:
    asks = [made(str(number), length) for number, length in enumerate([5, 900, 40, 30, 20, 10, 2000, 8])]
    cut = batches(asks, rows=3, tokens=1000)
    assert [[len(one.ids) for one in batch] for batch in cut] == [[2000], [900], [40, 30, 20], [10, 8, 5]]
    for gone in range(len(cut)):
        left = [one for number, batch in enumerate(cut) if number != gone for one in batch]
        assert batches(left, rows=3, tokens=1000) == [*cut[:gone], *cut[gone + 1 :]]


def made(name: str, length: int) -> Ask:
    return Ask(id=name, ids=(1,) * length, temperature=0.0, top_p=1.0, max_tokens=50, seed=0, stop=())
