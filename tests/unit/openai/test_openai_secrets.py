"""A canary key through every failure path: it must not come out in any message."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import pytest

from broker.errors import BrokerError
from broker.jobs.spec import ModelRef
from broker.providers.contract import CompletionRequest
from broker.providers.secrecy import Censor
from tests.fakes.openai_server import Rule
from tests.unit.openai.conftest import CANARY

if TYPE_CHECKING:
    from tests.unit.openai.conftest import OpenDesk

pytestmark = pytest.mark.anyio
ECHO = {"message": f"Incorrect API key provided: {{key}} ({CANARY})", "code": "odd"}


@pytest.mark.parametrize("fault", ["401", "403", "400", "429", "500_before", "409_before", "404", "quota"])
@pytest.mark.parametrize(
    "call", ["POST /files", "POST /fine_tuning/jobs", "GET /fine_tuning/jobs", "POST /chat/completions"]
)
async def test_a_key_that_the_server_echoes_is_not_shown(
    open_desk: OpenDesk, call: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_desk(tries=1, limited_s=5) as desk:
        options = ECHO | ({"retry_after": 700} if fault == "429" else {})
        desk.server.state.rules = [Rule(call, fault, options=options)]
        intent, told = desk.intent(), ""
        try:
            await desk.provider.prepare(intent)
            await desk.provider.submit(intent)
            await desk.provider.find(intent)
            model = ModelRef(provider="openai", name="m")
            row = CompletionRequest(id="1", messages=({"role": "user", "content": "hello"},))
            async for answer in desk.provider.completer(model).complete([row]):
                told += str(answer)
        except BrokerError as error:
            verdict = desk.provider.classify(error)
            told = "".join(traceback.format_exception(error)) + str(error) + repr(error) + str(verdict)
        assert told
        assert CANARY not in told + caplog.text
        assert CANARY not in repr(desk.provider.__dict__)


def test_keys_of_any_shape_are_replaced() -> None:
    censor = Censor(["my-long-azure-key-0001"])
    text = "my-long-azure-key-0001 sk-proj-abcdef123456 Bearer abcdefghijk https://user:pass@host/x sk-abc***wxyz"
    assert censor(text) == "*** *** *** https://***host/x ***"


def test_short_secrets_do_not_eat_words() -> None:
    assert Censor(["", "a"])("a plain text") == "a plain text"
