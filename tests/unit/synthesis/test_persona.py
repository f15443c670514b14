"""People and situations are invented first: when that fails, or gives too few, it is said."""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING, Any, cast

import pytest
from anyio import create_task_group

from broker.synthesis.flow import Bench
from broker.synthesis.pipeline import open_pipeline
from tests.fakes.writing_completer import WritingCompleter, said, task_of

if TYPE_CHECKING:
    from broker.providers.contract import Answer, CompletionRequest
    from tests.unit.synthesis.conftest import Synthesize

pytestmark = pytest.mark.anyio

# Who brings people and situations along asks for none.
ASKED_NOTHING = cast("Any", None)


async def test_when_nobody_is_invented_the_job_ends_with_no_row_and_the_reason(made: Synthesize) -> None:
    def blocked(request: CompletionRequest) -> Answer | None:
        return said("", finish_reason="safety", failure="SAFETY") if task_of(request) == "personas" else None

    outcome = await made(WritingCompleter(blocked), pipeline="persona", rows=5, options={"domain": "debt"})
    assert not outcome.complete
    assert outcome.manifest["rejected"] == {"safety": 3}  # so often was it tried


async def test_what_was_invented_so_far_is_used_when_no_more_comes(made: Synthesize) -> None:
    asked: list[str] = []

    def once(request: CompletionRequest) -> Answer | None:
        if task_of(request) != "scenarios":
            return None
        asked.append(request.id)
        return None if len(asked) == 1 else said("no JSON")

    outcome = await made(WritingCompleter(once), pipeline="persona", rows=5, options={"domain": "debt"})
    assert outcome.complete
    assert outcome.manifest["rejected"]["malformed"] == 3
    assert 1 <= outcome.manifest["coverage"]["scenarios"] <= 10


async def test_forty_thousand_pairs_set_out_in_no_time() -> None:
    people = [{"persona": {"name": f"P{n}", "rare": n % 5 == 0}} for n in range(200)]
    places = [{"scenario": {"title": f"S{n}"}} for n in range(200)]
    found = open_pipeline("persona")
    options = found.with_defaults({"domain": "debt"})
    async with create_task_group() as tasks:
        bench = Bench(asker=ASKED_NOTHING, prompts={}, options=options, seed=1, target=1, tasks=tasks)
        began = process_time()
        rows = [row async for row in found.source([*people, *places], bench)]
        assert process_time() - began < 3
        assert len({row.id for row in rows}) == 40_000
        assert sum(bool(row["person"].get("rare")) for row in rows[:1_000]) == 200
