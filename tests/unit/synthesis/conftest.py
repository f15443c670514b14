"""One synthesis with real sections, the sandbox's writer and an encoder that spells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from broker.sandbox.sections import source_sections
from broker.synthesis.pipeline import Pipeline, open_pipeline
from broker.synthesis.prompting import shipped
from broker.synthesis.run import Means, Order, Outcome, Progress, synthesize
from tests.fakes.writing_completer import SpellingEncoder, WritingCompleter

if TYPE_CHECKING:
    from pathlib import Path

Synthesize = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def made(tmp_path: Path) -> Synthesize:
    """Return a function that has rows made; `folder` names the job, so that one of the same name goes on."""

    async def run(
        completer: WritingCompleter,
        *,
        pipeline: str | Pipeline = "qa",
        rows: int = 12,
        sections: int = 60,
        folder: str = "job",
        options: dict[str, Any] | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        **means: Any,
    ) -> Outcome:
        found = open_pipeline(pipeline) if isinstance(pipeline, str) else pipeline
        order = Order(
            pipeline=found,
            records=source_sections(sections),
            rows=rows,
            options=found.with_defaults(options or {}),
            prompts=shipped(found.prompts),
            model="fake:writer",
            seed=5,
        )
        place, encoder = tmp_path / folder, SpellingEncoder()
        given = Means(
            completer=completer, workers=encoder, encoder="spelling", folder=place, output=place / "made", **means
        )
        return await synthesize(order, given, on_progress)

    return run
