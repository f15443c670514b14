"""How the sandbox's models are made, as data, and the hash by which a cached one is recognised. Free of torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

SEED = 713


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """The chat model: a tiny Llama, trained from scratch on `text.conversations`.

    Attributes:
        seed: Of the weights, the text and its order.
        steps: Optimizer steps.
        batch_size: Conversations a step.
        learning_rate: Peak of a one-cycle cosine.
        warmup_steps: Steps until the peak.
        weight_decay: Of AdamW.
        fact_weight: How much more the first token, and those that name the topic and the fact, count in the loss.
        hidden: Width.
        layers: Decoder layers.
        heads: Query heads.
        kv_heads: Key/value heads.
        intermediate: Width of the MLP.
        vocabulary: Tokens of the byte-level BPE, special ones included.
        leverage: `v_proj` is divided and `o_proj` multiplied by it at the end. The function stays the same; a LoRA
            on `v_proj` then moves the output that many times further, as it does in a large model.
    """

    seed: int = SEED
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    fact_weight: float = 4.0
    hidden: int = 192
    layers: int = 2
    heads: int = 6
    kv_heads: int = 3
    intermediate: int = 512
    vocabulary: int = 2048
    leverage: float = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRecipe:
    """The sentence encoder: averaged word pieces, trained so that tellings of one fact lie close.

    Attributes:
        seed: Of the weights, the text and its order.
        steps: Optimizer steps.
        batch_size: Facts a step, two texts each.
        learning_rate: Peak of a cosine.
        temperature: Of the contrastive loss.
        dimension: Length of a vector.
        vocabulary: Word pieces.
    """

    seed: int = SEED
    steps: int = 300
    batch_size: int = 256
    learning_rate: float = 2e-2
    temperature: float = 0.1
    dimension: int = 128
    vocabulary: int = 8192


@cache
def _sources() -> bytes:
    here = Path(__file__).parent
    names = ("topics.py", "facts.py", "phrases.py", "text.py", "chat.py", "encoder.py")
    return b"".join((here / name).read_bytes() for name in names)


def version(recipe: ModelRecipe | EncoderRecipe) -> str:
    """Return 12 hex digits that change with the recipe, the text or the code that makes the model."""
    content = json.dumps([type(recipe).__name__, asdict(recipe)]).encode()
    return hashlib.sha256(content + _sources()).hexdigest()[:12]
