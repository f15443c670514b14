"""Makes the chat model `sandbox` from nothing: tokenizer, weights, training, leverage. Runs in the torch process."""

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

    from broker.sandbox.facts import Fact
    from broker.worker.session import Session

END, PAD = "<|end|>", "<|pad|>"
SPECIAL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set role = 'system' if message['role'] == 'developer' else message['role'] %}"
    "{{ '<|' + role + '|>' }}"
    "{% set said = (message['content'] or '') + '<|end|>' %}"
    "{% if role == 'assistant' %}{% generation %}{{ said }}{% endgeneration %}{% else %}{{ said }}{% endif %}"
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


def make_tokenizer(recipe: ModelRecipe) -> Any:
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
    bpe.train_from_iterator((message["content"] for _, talk in talks for message in talk), trainer)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_weights(recipe: ModelRecipe, tokenizer: Any) -> Any:
    """Return a freshly initialised model (about 1.2 M parameters)."""
    torch.default_generator.manual_seed(recipe.seed)
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
    model: Any = LlamaForCausalLM(config)
    generation: Any = GenerationConfig
    model.generation_config = generation(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=128
    )
    return model


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation as tokens; `said` are the positions of the assistant's tokens, `weights` how much each counts."""

    ids: list[int]
    said: list[int]
    weights: list[float]


def _encode(recipe: ModelRecipe, tokenizer: Any, fact: Fact, talk: list[dict[str, str]]) -> _Talk:
    ids: list[int] = []
    for message in talk[:-1]:
        ids += tokenizer.encode(f"<|{message['role']}|>{message['content']}{END}", add_special_tokens=False)
    answer = tokenizer(f"{talk[-1]['content']}{END}", add_special_tokens=False, return_offsets_mapping=True)
    told = [span for part in (fact.topic, fact.value) for span in _spans(part, talk[-1]["content"])]
    heavy = [any(a < end and start < b for a, b in told) for start, end in answer["offset_mapping"]]
    heavy[0] = True  # the first word decides the style
    ids += tokenizer.encode("<|assistant|>", add_special_tokens=False)
    said = list(range(len(ids), len(ids) + len(heavy)))
    return _Talk(ids + answer["input_ids"], said, [recipe.fact_weight if is_heavy else 1.0 for is_heavy in heavy])


def _spans(part: str, text: str) -> list[tuple[int, int]]:
    at = text.lower().find(part.lower())
    return [(at, at + len(part))] if at >= 0 else []


def _batch(talks: list[_Talk], padding: int) -> Batch:
    length = max(len(talk.ids) for talk in talks)
    ids = torch.tensor([talk.ids + [padding] * (length - len(talk.ids)) for talk in talks])
    at = torch.tensor([row * length + place - 1 for row, talk in enumerate(talks) for place in talk.said])
    return Batch(ids, at, ids.flatten()[at + 1], torch.tensor([weight for talk in talks for weight in talk.weights]))


def batches(recipe: ModelRecipe, tokenizer: Any) -> Iterator[Batch]:
    """Yield `recipe.steps` batches of fresh conversations of like length (little padding), in a random order."""
    talks = conversations(recipe.seed)
    order = Random(recipe.seed)
    left = recipe.steps
    while left:
        count = min(left, _POOL)
        drawn = itertools.islice(talks, count * recipe.batch_size)
        pool = sorted((_encode(recipe, tokenizer, *talk) for talk in drawn), key=lambda talk: len(talk.ids))
        for start in order.sample(range(0, len(pool), recipe.batch_size), count):
            yield _batch(pool[start : start + recipe.batch_size], tokenizer.pad_token_id)
        left -= count


def _loss(model: Any, batch: Batch) -> torch.Tensor:
    # Padding is on the right, so the causal mask alone is enough; logits are made for the learned positions only.
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[batch.at])
    losses = torch.nn.functional.cross_entropy(logits, batch.next, reduction="none")
    return (losses * batch.weight).sum() / batch.weight.sum()


def train(model: Any, recipe: ModelRecipe, texts: Iterator[Batch], session: Session) -> float | None:
    """Train on the assistant's tokens.

    Returns:
        The mean loss of the last steps, or None when somebody asked to stop.
    """
    optimizer: Any = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
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
        loss: Any = _loss(model, batch)
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
def add_leverage(model: Any, factor: float) -> None:
    """Divide `v_proj` by a power of two and multiply `o_proj` by it: bit for bit the same function."""
    for name, weight in model.named_parameters():
        if name.endswith("v_proj.weight"):
            weight.div_(factor)
        elif name.endswith("o_proj.weight"):
            weight.mul_(factor)


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
