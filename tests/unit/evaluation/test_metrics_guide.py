"""What docs/metrics.md says is so: every metric is in it, its rubric is one, its function is a metric."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.evaluation import Cost, Direction, Kind, MetricContext, Scored
from broker.evaluation.judging.asking import Judge
from broker.evaluation.metrics import BUILT_IN, open_metric
from broker.evaluation.rubrics import RubricFile, read_rubric, shipped
from broker.evaluation.scoring import score_metric
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import JudgeSpec
from broker.providers.asking import Answer, CompletionRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

GUIDE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([a-z-]+)[`:][^|]*\|(.*)$", GUIDE, re.MULTILINE))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_metric_is_described_as_it_is(name: str) -> None:
    found = open_metric("judge:empathy" if name == "judge" else name, MetricContext())
    _, _, better, needs, costs = (cell.strip() for cell in ROWS[name].strip(" |").split("|"))
    words = {Direction.HIGHER: "higher", Direction.LOWER: "lower", Direction.NONE: "neither"}
    assert name == "judge" or better == words[found.direction]
    said = {Cost.FREE: "nothing", Cost.LOCAL: "a model on this machine", Cost.PAID: "a few replies per prompt"}
    assert costs == said[found.cost]
    for need, word in {"expected": "expected", "encoder": "encoder", "judge": "judge", "weights": "weights"}.items():
        assert (need in found.needs) is (word in needs), need
    assert found.version
    assert found.label


def test_the_guides_rubric_is_one(tmp_path: Path) -> None:
    (text,) = (body for kind, body in BLOCKS if kind == "toml" and "[anchors]" in body)
    path = tmp_path / "warmth.toml"
    path.write_text(text)
    rubric = read_rubric(path)
    assert (rubric.name, rubric.anchors[0]) == ("warmth", (0.0, "a machine wrote it"))
    assert set(tomllib.loads(text)) == set(RubricFile.model_fields)
    assert all(f"`{name}`" in GUIDE for name in shipped())


@pytest.mark.anyio
async def test_the_guides_function_is_a_metric() -> None:
    (text,) = (body for kind, body in BLOCKS if kind == "python" and "@metric" in body)
    made: dict[str, object] = {}
    exec(text, made)
    rows = [Scored(id="0", prompt=(), expected="", answer=answer) for answer in ("It's so.", "It is so.")]
    result = await score_metric(open_metric("contractions", MetricContext()), rows)
    assert (result.value, result.kind) == (0.5, Kind.PROPORTION)


OWN = """
from broker.evaluation import Cost, Direction, Kind
from broker.evaluation.judging.values import Question


class Agrees:
    unit, direction, kind, version, cost, needs = "%", Direction.HIGHER, Kind.PROPORTION, "1", Cost.PAID, ("judge",)

    def __init__(self, context, argument=""):
        self.name = self.label = f"agrees:{argument}"
        self._judge, self._word = context.judge, argument

    async def score(self, rows):
        said = await self._judge.ask([self._question(row) for row in rows])
        return [None if one.failure else float(one.value) for one in said]

    def _question(self, row):
        asked = ({"role": "user", "content": f"Does this say {self._word}? {row.answer}"},)
        read = lambda text: (text == "yes", "")
        return Question(about=self.name, row=row.id, sample=0, messages=asked, schema={}, read=read)
"""


class Warm:
    """A judge that says yes to what is warm."""

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        for request in requests:
            yield Answer(id=request.id, text="yes" if "warm" in str(request.messages[0]["content"]) else "no")

    async def aclose(self) -> None: ...


@pytest.mark.anyio
async def test_an_installed_class_may_ask_the_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "agreeing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: agreeing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[broker.metrics]\nagrees = agreeing_metric:Agrees\n")
    (tmp_path / "agreeing_metric.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    judge = Judge(JudgeSpec(provider="local", model="warm"), Warm, tmp_path / "judgements.jsonl")
    found = open_metric("agrees:it", MetricContext(judge=judge))
    rows = [Scored(id=str(i), prompt=(), expected="", answer=answer) for i, answer in enumerate(("warm", "cold"))]
    result = await score_metric(found, rows)
    assert result.values == (1.0, 0.0)
    assert [line["about"] for line in RowFile(tmp_path / "judgements.jsonl").read()] == ["agrees:it", "agrees:it"]
    assert (found.cost, found.needs) == (Cost.PAID, ("judge",))
