"""Where the money ends a synthesis rests with what it has; with more money it goes on and pays nothing twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.errors import EXIT_BUDGET
from broker.sandbox.sections import source_sections
from tests.fakes.data_maker import DataMaker
from tests.fakes.gemini_server import running
from tests.fakes.gemini_writer import answer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 10


@pytest.mark.slow
def test_the_budget_pauses_and_more_of_it_goes_on(tmp_path: Path, encoder_dir: Path) -> None:
    source = tmp_path / "sections.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in source_sections(40)), encoding="utf-8")
    with running(answering=answer) as fake:
        maker = DataMaker(tmp_path, fake.url, encoder_dir)
        ended = maker.run(*maker.submit(source, ROWS, "--budget", "0.006"))
        assert ended.code == EXIT_BUDGET, ended.err
        assert 0 < maker.manifest["cost_usd"] <= 0.006
        assert maker.manifest["accepted"] < ROWS
        (job,) = maker.run("jobs", "--json").data
        assert job["state"] == "paused"
        ended = maker.run("resume", job["id"], "--budget", "1")
        assert ended.code == 0, ended.err
        assert len(maker.rows()) == ROWS
        assert fake.state.asked_twice() == []
