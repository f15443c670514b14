"""A tiny random Llama with a byte-level tokenizer and a template like Llama 3's: made in a second, no download."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = (
    "{{- bos_token }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{- 'Today Date: ' + date_string + '\\n\\n' }}{{- system }}{{- '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{- message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)


def make_tokenizer(template: str | None = TEMPLATE) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1])
    fast.add_special_tokens({"additional_special_tokens": special[2:]})
    fast.chat_template = template
    return fast


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chat_row(number: int) -> dict[str, Any]:
    words = ["apple", "river", "stone", "cloud", "lamp", "train"]
    word = words[number % len(words)]
    answer = f"A {word} is {'very ' * (number % 3)}nice."
    return {"messages": [{"role": "user", "content": f"What is a {word}?"}, {"role": "assistant", "content": answer}]}


def preference_row(number: int) -> dict[str, Any]:
    row = chat_row(number)["messages"]
    bad = {"role": "assistant", "content": "No idea, go away."}
    return {"input": {"messages": row[:1]}, "preferred_output": row[1:], "non_preferred_output": [bad]}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def chat_file(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "train.jsonl", [chat_row(number) for number in range(20)])


@pytest.fixture
def preference_file(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", [preference_row(number) for number in range(20)])


@pytest.fixture
def train_args(tiny: Path, chat_file: Path, tmp_path: Path) -> Iterator[Any]:
    def make(name: str = "run", **changes: Any) -> dict[str, Any]:
        run = tmp_path / name
        run.mkdir(exist_ok=True)
        parameters = {"precision": "fp32", "rank": 8, "lr": 0.01, "epochs": 2, "batch_size": 4, "grad_accum": 2}
        return {
            "run": str(run),
            "model": str(tiny),
            "train": str(chat_file),
            "validation": None,
            "method": "sft",
            "seed": 713,
            "data": {"name": "train.jsonl", "sha256": "0" * 64, "rows": 20},
            **changes,
            "parameters": {**parameters, **changes.get("parameters", {})},
        }

    yield make
