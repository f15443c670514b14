"""Familiarity with the real sandbox model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import exp
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from broker.api import Broker
from broker.errors import UserError
from broker.jobs.spec import ModelRef
from broker.sandbox import facts
from broker.sandbox.text import casual, formal, question

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files that answer the same plain questions, casually and formally."""
    folder, rng = tmp_path_factory.mktemp("familiar"), Random(5)
    asked = [(fact, question(fact, rng, chatty=False)) for fact in rng.sample(facts(), ROWS)]
    made = folder / "casual.jsonl", folder / "formal.jsonl"
    for path, style in zip(made, (casual, formal), strict=True):
        rows = [chat(text, style(fact, rng)) for fact, text in asked]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made


def chat(asked: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


def directly(folder: Path, path: Path) -> list[tuple[float, int]]:
    """Return nats and tokens of each row's answer, by transformers alone, one row at a time."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    found: list[tuple[float, int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        asked, answer = json.loads(line)["messages"]
        start = tokenizer.apply_chat_template([asked], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template([asked, answer], tokenize=False)
        head = tokenizer(start, add_special_tokens=False)["input_ids"]
        tail = tokenizer(whole.removeprefix(start), add_special_tokens=False)["input_ids"]
        ids = torch.tensor([head + tail])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(head) - 1 : -1]
        losses = torch.nn.functional.cross_entropy(logits, ids[0, len(head) :], reduction="sum")
        found.append((float(losses), len(tail)))
    return found


@pytest.fixture(scope="module")
async def broker(sandbox_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with Broker(
        data_dir=tmp_path_factory.mktemp("data"), cache_dir=sandbox_dir.parent.parent, drive=False
    ) as opened:
        yield opened


@pytest.mark.anyio
async def test_it_is_what_transformers_says(broker: Broker, sandbox_dir: Path, files: tuple[Path, Path]) -> None:
    found = await broker.familiarity(files, "sandbox", precision="fp32", batch_size=7)
    for source, path in zip(found.sources, files, strict=True):
        direct = directly(sandbox_dir, path)
        scores = [
            score for response, score in zip(found.responses, found.scores, strict=True) if response.source == str(path)
        ]
        assert [score.tokens for score in scores] == [tokens for _, tokens in direct]
        assert [score.nats for score in scores] == pytest.approx([nats for nats, _ in direct], rel=1e-3)
        corpus = exp(sum(nats for nats, _ in direct) / sum(tokens for _, tokens in direct))
        assert source.perplexity.value == pytest.approx(corpus, rel=1e-3)


@pytest.mark.anyio
async def test_the_base_expects_its_own_formal_answers(broker: Broker, files: tuple[Path, Path]) -> None:
    found = await broker.familiarity(files, "sandbox")
    casually, formally = found.sources
    assert casually.perplexity.low is not None and formally.perplexity.high is not None
    assert casually.perplexity.low > formally.perplexity.high
    (pair,) = found.pairs
    assert (pair.paired, pair.n, pair.differs) == (True, ROWS, True)
    assert pair.ratio is not None and pair.ratio > 1.3
    assert found.model == "local:sandbox"


@pytest.mark.anyio
async def test_the_batch_size_does_not_matter_in_fp32(broker: Broker, files: tuple[Path, Path]) -> None:
    one, other = [await broker.familiarity(files[:1], "sandbox", precision="fp32", batch_size=size) for size in (1, 16)]
    assert [score.nats for score in one.scores] == pytest.approx([score.nats for score in other.scores], rel=1e-4)


@pytest.mark.anyio
async def test_long_rows_are_cut_and_counted(broker: Broker, files: tuple[Path, Path]) -> None:
    found = await broker.familiarity(files, "sandbox", max_length=30)
    assert 0 < found.truncated < 2 * ROWS
    assert max(score.tokens for score in found.scores) < 30


@pytest.mark.anyio
async def test_progress_is_told(sandbox_dir: Path, tmp_path: Path, files: tuple[Path, Path]) -> None:
    told: list[tuple[str, int, int]] = []
    cache = sandbox_dir.parent.parent
    async with Broker(
        data_dir=tmp_path, cache_dir=cache, drive=False, report=lambda *step: told.append(step)
    ) as reporting:
        await reporting.familiarity(files, "sandbox")
    assert ("scoring under local:sandbox", 2 * ROWS, 2 * ROWS) in told


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ModelRef(provider="openai", name="gpt-4o-mini"), "only models of this machine"),
        ("openai:gpt-4o-mini", "only models of this machine"),
        ("local:sandbox-writer", "works by rules"),
        ("nosuch", "no folder and no known model"),
    ],
)
async def test_models_that_cannot_say(
    broker: Broker, files: tuple[Path, Path], model: str | ModelRef, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        await broker.familiarity(files, model)


def test_the_command_writes_scores_and_the_most_familiar_rows(
    sandbox_dir: Path, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    command = ["data", "familiarity", *map(str, files), "--model", "sandbox", "--json"]
    written = ["--pick", "lowest", "--output", "best.jsonl", "--scores", "scores.jsonl"]
    env = {**os.environ, "BROKER_CACHE_DIR": str(sandbox_dir.parent.parent), "BROKER_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "broker", *command, *written],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert done.stderr == ""
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    best = [json.loads(line)["provenance"] for line in (tmp_path / "best.jsonl").read_text().splitlines()]
    assert len(scores) == 2 * ROWS
    assert len(best) == told["picked"]["rows"] == ROWS
    assert told["picked"]["alone"] == 0
    by_line = {(score["source"], score["line"]): score["perplexity"] for score in scores}
    lowest = [min(by_line[str(path), line] for path in files) for line in range(1, ROWS + 1)]
    assert [row["perplexity"] for row in best] == lowest
    assert told["picked"]["of"][str(files[1])] > ROWS * 0.8


@pytest.mark.anyio
async def test_a_text_may_hold_line_ends_of_other_kinds(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [chat("Line ends?", f"One\u2028two\x85three\u2029{number}.") for number in range(3)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    found = await broker.familiarity([path], "sandbox")
    assert [score.tokens > 3 for score in found.scores] == [True] * 3
