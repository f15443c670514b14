"""The `gemini` provider held to the suite, against the loopback server on its good days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from broker.settings import Account
from broker.testing import ProviderCase, ProviderConformance
from tests.fakes.gemini_server import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


class TestGemini(ProviderConformance):
    @pytest.fixture
    def case(self, served: Running) -> ProviderCase:
        served.clear()
        account = Account(kind="gemini", base_url=served.url, api_key=SecretStr("a-key-of-the-conformance"))
        return ProviderCase(account=account, model="gemini-3.5-flash-lite")
