"""Perplexity of the expected answers, by a real worker process and a tiny model."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import pytest

from broker.evaluation import Kind, MetricContext, Scored
from broker.evaluation.metrics import open_metric
from broker.evaluation.perplexity import CHUNK, Perplexity
from broker.evaluation.scoring import score_metric
from broker.jobs.spec import ModelRef
from broker.providers.asking import OnThisMachine

if TYPE_CHECKING:
    from tests.fakes.local_desk import Desk

pytestmark = pytest.mark.anyio


def row(expected: str, *before: dict[str, Any], id_: str = "0") -> Scored:
    prompt = before or ({"role": "user", "content": "What happened?"},)
    return Scored(id=id_, prompt=prompt, expected=expected, answer="Something else.")


async def measure(desk: Desk, rows: list[Scored]) -> tuple[Perplexity, list[float | None]]:
    completer = desk.provider.completer(ModelRef(provider="local", name=str(desk.model), precision="fp32"))
    assert isinstance(completer, OnThisMachine)
    metric = open_metric("perplexity", MetricContext(workers=desk.workers, loaded=completer.loaded))
    assert isinstance(metric, Perplexity)
    return metric, await metric.score(rows)


async def test_the_last_turn_counts_and_earlier_ones_do_not(desk: Desk) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there, this turn is long"},
        {"role": "user", "content": "And?"},
    ]
    rows = [row("It shut."), row(""), row("No.", *turns)]
    metric, values = await measure(desk, rows)
    assert values[1] is None
    first, third = values[0], values[2]
    assert first is not None
    assert third is not None
    # Bytes of the answer and the end mark; of the conversation only its last turn.
    tokens = (len("It shut.") + 1, len("No.") + 1)
    assert metric.details["tokens"] == sum(tokens)
    whole = exp((first * tokens[0] + third * tokens[1]) / sum(tokens))
    assert metric.details["perplexity over all tokens"] == pytest.approx(whole, rel=1e-4)


async def test_the_answer_given_does_not_matter_and_the_order_neither(desk: Desk) -> None:
    rows = [row("It shut in 1967.", id_="0"), row("Yes.", id_="1"), row("They filled it in and sold it.", id_="2")]
    _, values = await measure(desk, rows)
    _, turned = await measure(desk, rows[::-1])
    assert turned[::-1] == pytest.approx(values, abs=1e-5)


async def test_the_column_is_a_mean_of_logarithms(desk: Desk) -> None:
    rows = [row(f"Answer number {i}.", id_=str(i)) for i in range(CHUNK + 4)]
    metric, values = await measure(desk, rows)
    result = await score_metric(metric, rows)
    assert (result.kind, result.unit, result.scored) == (Kind.MEAN, "nats/token", CHUNK + 4)
    assert result.value == pytest.approx(sum(value or 0 for value in values) / len(values))
    assert "vocabulary" in result.version
    assert set(result.details) == {"perplexity over all tokens", "tokens"}


async def test_long_answers_are_cut_and_said(desk: Desk) -> None:
    metric, values = await measure(desk, [row("long " * 200), row("Yes.")])
    assert values[0] is not None
    assert metric.remarks == (
        "1 expected answers are longer than the model reads: their perplexity is that of the beginning",
    )


async def test_a_remote_model_has_none_and_says_why() -> None:
    context = MetricContext(model=ModelRef(provider="openai", name="gpt-4o-mini"))
    result = await score_metric(open_metric("perplexity", context), [row("It shut.")])
    assert result.value is None
    assert "weights on this machine; openai:gpt-4o-mini does not tell it" in (result.failure or "")
