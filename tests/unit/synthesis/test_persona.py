"""People and situations are invented first: when that fails, or gives too few, it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.writing_completer import WritingCompleter, said, task_of

if TYPE_CHECKING:
    from broker.providers.contract import Answer, CompletionRequest
    from tests.unit.synthesis.conftest import Synthesize

pytestmark = pytest.mark.anyio


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
