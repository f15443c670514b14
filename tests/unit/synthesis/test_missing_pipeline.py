"""A job whose pipeline is somebody's own module, where that module cannot be found."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from broker import Broker
from broker.errors import UnknownNameError
from broker.jobs.states import State
from broker.sandbox.sections import source_sections

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.anyio

PIPELINE = """
from broker.synthesis import Pipeline, each


@each
async def told(row, bench):
    return row.having(question=row.source["title"] + "?", answer=row.data["text"])


pipeline = Pipeline(name="told", steps=lambda options: [told])
"""


@contextmanager
def findable(folder: Path) -> Generator[None]:
    """Let modules of a folder be imported for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("told_pipeline", None)


async def test_it_rests_says_so_and_goes_on_where_the_module_is(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "told_pipeline.py").write_text(PIPELINE, encoding="utf-8")
    source = tmp_path / "sections.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in source_sections(20)), encoding="utf-8")
    with findable(code):
        async with Broker(data_dir=tmp_path / "data", drive=False) as broker:
            job = await broker.synthesize(
                provider="local",
                model="sandbox-writer",
                pipeline="told_pipeline:pipeline",
                source=source,
                rows=5,
                output=tmp_path / "made",
            )
    async with Broker(data_dir=tmp_path / "data") as broker:
        (rested,) = await broker.wait(job)
        assert rested.state is State.PAUSED
        assert rested.failure is not None
        assert "told_pipeline:pipeline" in rested.failure.message
        assert "PYTHONPATH=FOLDER" in rested.failure.fix
        assert "told_pipeline.py" in rested.failure.fix
        with pytest.raises(UnknownNameError, match="cannot be found"):
            await broker.resume(job)
        assert (await broker.job(job.id)).wish is None
    with findable(code):
        async with Broker(data_dir=tmp_path / "data") as broker:
            await broker.resume(job)
            (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    assert ended.failure is None
