"""Odd texts and pipelines with a fault: a row that no reader takes is rejected, and a fault is told as whose it is."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import UserError
from broker.jobs.datasets import read_dataset
from broker.synthesis import Pipeline, deduplicated, each, readable
from tests.fakes.writing_completer import WritingCompleter, said, task_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from broker.providers.contract import Answer, CompletionRequest
    from broker.synthesis.flow import Bench
    from broker.synthesis.rows import Row
    from tests.unit.synthesis.conftest import Synthesize

pytestmark = pytest.mark.anyio
ODD = ("half \ud83d of a character", "a \0 byte", "   ")


@each
async def odd(row: Row, bench: Bench) -> Row:
    """Every other row has an answer that no reader takes."""
    place = bench.arrival[row.id]
    return row.having(question=f"What is {row.id}?", answer=ODD[place // 2 % 3] if place % 2 else "It is so.")


async def test_a_row_that_cannot_be_read_again_is_rejected_and_the_others_are_written(
    made: Synthesize, tmp_path: Path
) -> None:
    outcome = await made(WritingCompleter(), pipeline=Pipeline(name="odd", steps=lambda _options: [odd]), rows=6)
    assert outcome.complete
    folder = tmp_path / "job" / "made"
    rows = read_dataset(folder / "rows.jsonl").rows
    assert len(rows) == 6
    assert outcome.manifest["rejected"].keys() == {"unfit"}
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_bytes().split(b"\n") if line]
    assert any("U+D83D" in one["detail"] for one in rejected)
    assert {one["data"]["answer"] for one in rejected} >= {ODD[0], ODD[1]}


async def test_an_answer_with_half_a_character_is_asked_for_again(made: Synthesize, tmp_path: Path) -> None:
    times: Counter[str] = Counter({"half \ud83d": 0, "none \0": 0})

    def once(request: CompletionRequest) -> Answer | None:
        fresh = next((text for text in times if not times[text]), None)
        if task_of(request) != "conversational" or fresh is None:
            return None
        times[fresh] += 1
        return said({"answer": fresh})

    outcome = await made(WritingCompleter(once), rows=4)
    assert outcome.complete
    rows = read_dataset(tmp_path / "job" / "made" / "rows.jsonl").rows
    tries = sorted(row.extra["lineage"]["attempts"]["conversational"] for row in rows)
    assert all(times.values())
    assert tries[-1] > 1
    assert "unfit" not in outcome.manifest["rejected"]


def _faulty(where: str) -> Pipeline:
    @each
    async def step(row: Row, bench: Bench) -> Row:
        told = await bench.ask(row, "Say something about this:\n\n{text}")
        return row.having(question=row["nothing"] if where == "step" else told, answer=told)

    def write(row: Row) -> dict[str, Any]:
        return {"messages": row["nothing"]}

    return Pipeline(name="mine", steps=lambda _options: [step], write=write if where == "write" else None)


@pytest.mark.parametrize("where", ["step", "write"])
async def test_a_fault_in_somebodys_pipeline_is_told_as_its_own(made: Synthesize, where: str) -> None:
    with pytest.raises(UserError) as caught:
        await made(WritingCompleter(), pipeline=_faulty(where), rows=3)
    assert "the pipeline mine failed: KeyError: 'nothing'" in caught.value.message
    assert "test_odd_rows.py" in caught.value.message


async def test_what_the_provider_raises_stays_the_providers(made: Synthesize) -> None:
    class Dead(WritingCompleter):
        async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
            async for answer in super().complete(requests):
                yield answer
                raise ConnectionResetError("cut")

    with pytest.raises(BaseExceptionGroup) as caught:
        await made(Dead(), rows=3)
    assert caught.group_contains(ConnectionResetError)


async def test_ready_made_steps_need_no_options_and_a_prompt_that_is_not_declared_is_not_sent(made: Synthesize) -> None:
    @each
    async def hard(row: Row, _bench: Bench) -> Row:
        return row.having(
            question=f"What is {row.id}?", answer="Considerable institutional heterogeneity notwithstanding."
        )

    steps = [hard, readable(), deduplicated()]
    completer = WritingCompleter()
    with pytest.raises(UserError, match="no prompt is called 'simplify'"):
        await made(completer, pipeline=Pipeline(name="mine", steps=lambda _options: steps), rows=3)
    assert completer.asked == []
    declared = Pipeline(name="mine", steps=lambda _options: steps, prompts=("simplify",))
    outcome = await made(completer, pipeline=declared, rows=3, folder="other")
    assert outcome.manifest["accepted"] or outcome.manifest["rejected"]["flesch"]
    assert {task_of(request) for request in completer.asked} == {"simplify"}
