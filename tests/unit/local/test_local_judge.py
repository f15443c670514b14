"""A local model as the judge: it cannot be held to a schema, so it is asked by words and read as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.evaluation import MetricContext, Scored
from broker.evaluation.judging.asking import JUDGEMENTS, Judge
from broker.evaluation.metrics import open_metric
from broker.evaluation.scoring import score_metric
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import JudgeSpec, ModelRef
from tests.fakes.tiny_model import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from broker.providers.asking import Completer
    from tests.fakes.local_desk import Desk

pytestmark = pytest.mark.anyio


async def test_a_model_that_babbles_gives_no_number_and_says_what_it_said(desk: Desk, tmp_path: Path) -> None:
    model = str(build_tiny(tmp_path / "model", longest=2048))

    def opened() -> Completer:
        return desk.provider.completer(ModelRef(provider="local", name=model, precision="fp32"))

    spec = JudgeSpec(provider="local", model=model, samples=1, max_tokens=12)
    judge = Judge(spec, opened, tmp_path / JUDGEMENTS)
    row = Scored(id="0", prompt=({"role": "user", "content": "Hi"},), expected="", answer="Hello.")
    result = await score_metric(open_metric("judge:empathy", MetricContext(judge=judge)), [row])
    await judge.aclose()
    assert (result.value, result.scored, result.unscored, result.failure) == (None, 0, 1, None)
    lines = RowFile(tmp_path / JUDGEMENTS).read()
    assert [line["failure"].partition(":")[0] for line in lines] == ["unreadable", "unreadable"]
    assert all(line["output_tokens"] for line in lines)
    assert "1 of 1 judgements of empathy are missing" in result.remarks[0]
