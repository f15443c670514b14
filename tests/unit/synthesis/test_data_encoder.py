"""Near-duplicates by a real sentence encoder in a data report."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from broker.api import Broker
from broker.sandbox import facts
from broker.sandbox.text import casual, question

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.anyio
async def test_two_ways_to_ask_for_a_fact_are_alike(encoder_dir: Path, tmp_path: Path) -> None:
    rng = Random(4)
    some = rng.sample(facts(), 30)
    asked = [(fact, question(fact, rng, chatty=False)) for fact in some]
    asked += [(fact, question(fact, rng, chatty=True)) for fact in some[:5]]
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": casual(fact, rng)}]}
        for fact, text in asked
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    cache = encoder_dir.parent.parent
    async with Broker(data_dir=tmp_path / "data", cache_dir=cache, drive=False) as broker:
        (found,) = await broker.data_report([file], encoder="sandbox-encoder")
    by_text, by_meaning = found.alike
    assert "sandbox-encoder" in by_meaning.method
    pairs = {(pair.earlier, pair.line) for pair in by_meaning.pairs}
    assert pairs == {(line, 30 + line) for line in range(1, 6)}
    assert by_text.rows < by_meaning.rows


@pytest.mark.anyio
async def test_how_far_the_comparison_is_can_be_followed(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"What is item {n}?"}, {"role": "assistant", "content": "A thing."}]}
        for n in range(1_200)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told: list[tuple[str, int, int]] = []
    async with Broker(data_dir=tmp_path / "data", drive=False, report=lambda *step: told.append(step)) as broker:
        await broker.data_report([file])
    steps = [(done, total) for text, done, total in told if text == f"comparing the prompts of {file}"]
    assert steps == [(0, 1_200), (500, 1_200), (1_000, 1_200), (1_200, 1_200)]
