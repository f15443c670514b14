"""Building the sandbox's models for real, in few steps, in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="needs finetune-broker[local]")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from broker.sandbox.build import build_encoder, build_model
from broker.sandbox.chat import add_leverage, make_tokenizer, make_weights
from broker.sandbox.recipe import ModelRecipe
from broker.worker.session import Session

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 12
TALK = [{"role": "user", "content": "Where does the birch grow?"}, {"role": "assistant", "content": "In the north."}]


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]]) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "sandbox"
    result = build_model({"folder": str(folder), "steps": STEPS}, Session(events.append))
    assert result["steps"] == STEPS
    assert 1_100_000 < result["parameters"] < 1_300_000
    return folder


@pytest.fixture(scope="module")
def tokenizer(built: Path) -> Any:
    return AutoTokenizer.from_pretrained(built)


def test_the_folder_is_a_chat_model_with_its_card(built: Path) -> None:
    config = json.loads((built / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"]
    assert not list(built.glob("*.bin"))
    card = (built / "README.md").read_text()
    assert "toy" in card
    assert "no evidence about int8" in card


def test_progress_has_step_and_loss(built: Path, events: list[dict[str, Any]]) -> None:
    assert built.exists()
    assert [(event["step"], event["total_steps"]) for event in events] == [(0, STEPS), (10, STEPS), (STEPS, STEPS)]
    assert events[-1]["loss"] < 9


def test_the_chat_template_marks_the_assistants_turn(tokenizer: Any) -> None:
    prompt = tokenizer.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert whole == prompt + "In the north.<|end|>"
    made = tokenizer.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    said = [token for token, mine in zip(made["input_ids"], made["assistant_masks"], strict=True) if mine]
    assert tokenizer.decode(said) == "In the north.<|end|>"


@pytest.mark.parametrize("text", ["Grüße, 世界 🙂", "a\n\nb  c", "<b>&amp;</b>"])
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_it_loads_in_bf16_and_answers(built: Path, tokenizer: Any) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(built, dtype=torch.bfloat16)
    ids = tokenizer.apply_chat_template(TALK[:1], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=5, do_sample=False)
    assert out.shape[1] > ids["input_ids"].shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_leverage_keeps_the_function_bit_for_bit(dtype: torch.dtype) -> None:
    recipe = ModelRecipe()
    model = make_weights(recipe, make_tokenizer(recipe)).to(dtype).eval()
    ids = torch.arange(20, 60).reshape(1, -1)
    with torch.no_grad():
        before = model(input_ids=ids).logits
        add_leverage(model, recipe.leverage)
        assert torch.equal(model(input_ids=ids).logits, before)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        build_model({"folder": str(folder), "steps": 3}, Session())
    one, two = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert one == two


@pytest.mark.parametrize("build", [build_model, build_encoder])
def test_a_stop_leaves_nothing(tmp_path: Path, build: Any) -> None:
    session = Session()
    session.request_stop("cancel")
    assert build({"folder": str(tmp_path / "cache" / "sandbox")}, session) == {"stopped": "cancel"}
    assert not (tmp_path / "cache").exists()
