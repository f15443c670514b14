"""Makes the chat model `sandbox` from nothing: tokenizer, weights, training, LoRA leverage. Runs in the torch process."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from broker.sandbox.card import MODEL_CARD
from broker.sandbox.folder import publishing
from broker.sandbox.recipe import ModelRecipe
from broker.sandbox.text import conversations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.worker.session import Session

END, PAD = "<|end|>", "<|pad|>"
SPECIAL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set role = 'system' if message['role'] == 'developer' else message['role'] %}"
    "{{ '<|' + role + '|>' }}"
    "{% if role == 'assistant' %}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 1024
_TOKENIZER_TEXTS = 6000
# Steps whose conversations are sorted by length together.
_POOL = 50


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's conversations, padded on the right to the longest.

    Attributes:
        ids: Tokens, shape (batch, length).
        at: Flat positions in `ids` whose next token is learned, shape (learned,).
        next: Those next tokens, shape (learned,).
        weight: How much each counts, shape (learned,).
    """

    ids: torch.Tensor
    at: torch.Tensor
    next: torch.Tensor
    weight: torch.Tensor


def make_tokenizer(recipe: ModelRecipe) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the sandbox's own text, with a chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    talks = itertools.islice(conversations(recipe.seed), _TOKENIZER_TEXTS)
    bpe.train_from_iterator((message["content"] for talk in talks for message in talk), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_weights(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return a freshly initialised model (about 1.2 M parameters)."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=128
    )
    return model


def _encode(tokenizer: PreTrainedTokenizerFast, talk: list[dict[str, str]]) -> tuple[list[int], list[int]]:
    """Return a conversation's tokens, and the positions of those that the assistant says."""
    ids: list[int] = []
    said: list[int] = []
    for message in talk:
        ids.append(tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>"))
        body = [*tokenizer.encode(message["content"], add_special_tokens=False), tokenizer.eos_token_id]
        if message["role"] == "assistant":
            said += range(len(ids), len(ids) + len(body))
        ids += body
    return ids, said


def _batch(pairs: list[tuple[list[int], list[int]]], padding: int) -> Batch:
    length = max(len(ids) for ids, _ in pairs)
    ids = torch.tensor([ids + [padding] * (length - len(ids)) for ids, _ in pairs])
    at = torch.tensor([row * length + place - 1 for row, (_, said) in enumerate(pairs) for place in said])
    chosen = ids.flatten()[at + 1]
    return Batch(ids, at, chosen, torch.ones(len(chosen)))


def batches(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[Batch]:
    """Yield `recipe.steps` batches of fresh conversations of like length (little padding), in a random order."""
    talks = conversations(recipe.seed)
    order = Random(recipe.seed)
    left = recipe.steps
    while left:
        count = min(left, _POOL)
        pool = [_encode(tokenizer, talk) for talk in itertools.islice(talks, count * recipe.batch_size)]
        pool.sort(key=lambda pair: len(pair[0]))
        starts = range(0, len(pool), recipe.batch_size)
        for start in order.sample(starts, count):
            yield _batch(pool[start : start + recipe.batch_size], tokenizer.pad_token_id)
        left -= count


def _loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    # Padding is on the right, so the causal mask alone is enough; logits are made for the learned positions only.
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[batch.at])
    losses = torch.nn.functional.cross_entropy(logits, batch.next, reduction="none")
    return (losses * batch.weight).sum() / batch.weight.sum()


def train(model: LlamaForCausalLM, recipe: ModelRecipe, texts: Iterator[Batch], session: Session) -> float | None:
    """Train on the assistant's tokens.

    Returns:
        The mean loss of the last steps, or None when somebody asked to stop.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.steps,
        pct_start=min(0.3, recipe.warmup_steps / recipe.steps),
        cycle_momentum=False,
    )
    model.train()
    smooth = 0.0
    for step, batch in enumerate(texts, 1):
        if session.stop_requested():
            return None
        loss = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        smooth = loss.item() if step == 1 else 0.95 * smooth + 0.05 * loss.item()
        if step % 10 == 0 or step == recipe.steps:
            session.progress(step, recipe.steps, loss=round(smooth, 4))
    return smooth


@torch.no_grad()
def add_leverage(model: LlamaForCausalLM, factor: float) -> None:
    """Divide `v_proj` by a power of two and multiply `o_proj` by it: bit for bit the same function."""
    for layer in model.model.layers:
        layer.self_attn.v_proj.weight /= factor
        layer.self_attn.o_proj.weight *= factor


def build_model(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Build the chat model into a folder; op `build_sandbox`.

    Args:
        args: `folder`, the place to build; any field of `ModelRecipe` that shall differ (tests use fewer steps).
        session: Gets progress events with the smoothed loss.

    Returns:
        `folder`, `steps`, `loss`, `parameters`, `seconds`; or `stopped` when somebody asked to stop, with nothing left.

    Raises:
        StoreError: The folder cannot be written.
    """
    began = time.monotonic()
    recipe = ModelRecipe(**{name.name: args[name.name] for name in fields(ModelRecipe) if name.name in args})
    session.progress(0, recipe.steps)
    tokenizer = make_tokenizer(recipe)
    model = make_weights(recipe, tokenizer)
    loss = train(model, recipe, batches(recipe, tokenizer), session)
    if loss is None:
        return {"stopped": session.stop_requested()}
    add_leverage(model, recipe.leverage)
    with publishing(Path(args["folder"]), recipe) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        (draft / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    return {
        "folder": args["folder"],
        "steps": recipe.steps,
        "loss": loss,
        "parameters": model.num_parameters(),
        "seconds": time.monotonic() - began,
    }
