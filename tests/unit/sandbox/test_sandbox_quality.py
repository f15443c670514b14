"""What the sandbox's models are for, held to figures: a style learned from 100 rows, and sentences told apart."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

pytest.importorskip("sentence_transformers", reason="needs finetune-broker[local,similarity]")

from broker.evaluation.flesch import flesch
from broker.sandbox import facts, rows
from broker.sandbox.text import casual, formal, question
from broker.worker.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

QUESTIONS = 120
SEED = 11
GENERAL = (
    "The committee approved the annual budget without debate.",
    "How do I reset my password on the website?",
    "Photosynthesis converts sunlight into chemical energy.",
    "My grandmother's recipe for soup uses fresh ginger.",
    "The stock market fell sharply on Monday.",
    "A cat sat on the mat near the door.",
    "Quantum computers use qubits instead of classical bits.",
    "Please send the invoice to our accounting department.",
    "Children were playing in the rain after school.",
    "What are the side effects of aspirin?",
)


@asynccontextmanager
async def worker_pool(folder: Path) -> AsyncGenerator[WorkerPool]:
    async with anyio.create_task_group() as tasks:
        pool = WorkerPool(folder, tasks, device="cpu", lock_dir=folder / "locks")
        try:
            yield pool
        finally:
            await pool.aclose()


async def ask(pool: WorkerPool, model: Path, adapter: str | None) -> list[str]:
    answers: dict[str, str] = {}

    def keep(event: dict[str, Any]) -> None:
        for answer in event.get("answers", []):
            answers[answer["id"]] = answer["text"]

    asked = rows("casual", QUESTIONS, SEED, "validation")
    requests = [
        {"id": str(number), "messages": row["messages"][:1], "temperature": 0.0, "max_tokens": 80}
        for number, row in enumerate(asked)
    ]
    args = {"model": str(model), "adapter": adapter, "precision": "bf16", "requests": requests, "batch_size": 60}
    await pool.call("generate", args, on_event=keep)
    return [answers[str(number)] for number in range(QUESTIONS)]


async def tune(pool: WorkerPool, model: Path, folder: Path) -> str:
    train = folder / "train.jsonl"
    made = rows("casual", 100, SEED, "train")
    train.write_text("".join(json.dumps(row) + "\n" for row in made))
    run = folder / "run"
    run.mkdir()
    args = {
        "run": str(run),
        "model": str(model),
        "train": str(train),
        "validation": None,
        "method": "sft",
        "parameters": {"lr": 1e-3},
        "seed": SEED,
        "data": {"name": "train.jsonl", "sha256": "0" * 64, "rows": len(made)},
    }
    result = await pool.call("train", args)
    assert result["steps"] == 20
    return str(result["adapter"])


def conversational(answers: Sequence[str]) -> float:
    return sum((flesch(text) or 0) >= 60 for text in answers) / len(answers)


async def test_100_rows_teach_the_style(sandbox_dir: Path, tmp_path: Path) -> None:
    async with worker_pool(tmp_path) as pool:
        before = await ask(pool, sandbox_dir, None)
        after = await ask(pool, sandbox_dir, await tune(pool, sandbox_dir, tmp_path))
    assert 0.08 <= conversational(before) <= 0.45
    assert conversational(after) >= 0.9
    assert len(set(after)) > 0.8 * QUESTIONS


async def embed(encoder: Path, folder: Path, texts: Sequence[str]) -> list[list[float]]:
    async with worker_pool(folder) as pool:
        vectors: list[list[float]] = (await pool.call("embed", {"model": str(encoder), "texts": list(texts)}))[
            "vectors"
        ]
    return vectors


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_the_encoder_tells_facts_apart(encoder_dir: Path, tmp_path: Path) -> None:
    rng = Random(SEED)
    chosen = rng.sample(facts(), 120)
    tellings = [
        [question(fact, rng, chatty=False) for fact in chosen],
        [question(fact, rng, chatty=True) for fact in chosen],
        [casual(fact, rng) for fact in chosen],
        [formal(fact, rng) for fact in chosen],
    ]
    vectors = await embed(encoder_dir, tmp_path, [text for texts in tellings for text in texts])
    asked, again, easy, hard = (vectors[start : start + 120] for start in range(0, 480, 120))
    paraphrases = [cosine(*pair) for pair in zip(asked, again, strict=True)]
    others = [cosine(asked[i], again[j]) for i in range(120) for j in range(120) if i != j]
    assert sum(value > 0.8 for value in paraphrases) / len(paraphrases) > 0.95
    assert sum(value > 0.8 for value in others) / len(others) < 0.001
    assert sum(map(cosine, easy, hard)) / 120 > 0.7
    assert sum(map(cosine, easy, hard[1:] + hard[:1])) / 120 < 0.2


async def test_the_encoder_keeps_general_english_apart(encoder_dir: Path, tmp_path: Path) -> None:
    near = "How can I reset the password of my account on the website?"
    vectors = await embed(encoder_dir, tmp_path, [*GENERAL, near])
    apart = [cosine(vectors[i], vectors[j]) for i in range(len(GENERAL)) for j in range(i)]
    assert max(apart) < 0.5
    assert abs(sum(apart) / len(apart)) < 0.2
    assert cosine(vectors[1], vectors[-1]) > 0.6
