"""The model `sandbox-writer` of the local provider: answers without torch, honours schemas, cannot be tuned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.api import Broker
from broker.jobs.datasets.tokens import estimate_tokens
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.contract import CompletionRequest

if TYPE_CHECKING:
    from pathlib import Path

WRITER = ModelRef(provider="local", name="sandbox-writer")
PROMPT = "Task: question\n### Text\nThe old mill was built in 1802 by the river, and it is a museum today."
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def request(number: int = 0, text: str = PROMPT, **other: Any) -> CompletionRequest:
    decoding = Decoding(seed=number, max_tokens=other.pop("max_tokens", 256))
    return CompletionRequest(id=str(number), messages=({"role": "user", "content": text},), decoding=decoding, **other)


@pytest.mark.anyio
async def test_it_answers_every_request_free_of_cost(tmp_path: Path) -> None:
    async with Broker(data_dir=tmp_path, drive=False) as broker:
        answers = await broker.complete(await broker.model("local:sandbox-writer"), [request(n) for n in range(20)])
    assert [answer.id for answer in answers] == [str(n) for n in range(20)]
    assert all("mill" in json.loads(answer.text)["question"] for answer in answers)
    first = answers[0]
    assert (first.cost_usd, first.finish_reason, first.failure) == (0.0, "stop", None)
    assert first.input_tokens == estimate_tokens(PROMPT)
    assert first.output_tokens == estimate_tokens(first.text)


@pytest.mark.anyio
async def test_schema_stop_and_length(tmp_path: Path) -> None:
    wanted = [request(0, schema=SCHEMA), request(1, max_tokens=5), request(2, stop=('"answer"',))]
    async with Broker(data_dir=tmp_path, drive=False) as broker:
        fitting, cut, stopped = await broker.complete(WRITER, wanted)
    assert set(json.loads(fitting.text)) == {"answer"}
    assert (cut.finish_reason, cut.output_tokens) == ("length", 5)
    assert '"question"' in stopped.text
    assert '"answer"' not in stopped.text


@pytest.mark.anyio
async def test_what_it_cannot_do_is_said(tmp_path: Path) -> None:
    async with Broker(data_dir=tmp_path, drive=False) as broker:
        provider = broker.accounts.get("local")
        assert provider.check_model(WRITER) == []
        assert provider.estimate_answers(WRITER, 1000, 1000).high_usd == 0
        (problem,) = provider.check_model(ModelRef(provider="local", name="sandbox-writer", adapter="somewhere"))
        assert "no adapter" in problem.what
