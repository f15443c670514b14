"""The `openai` provider held to the suite, against the faulty server on its good days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from broker.settings import Account
from broker.testing import ProviderCase, ProviderConformance
from tests.fakes.openai_server import Habits, Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


class TestOpenAI(ProviderConformance):
    @pytest.fixture
    def case(self, served: Running) -> ProviderCase:
        served.clear(Habits(list_lag_s=0.1, ignore_filter=True))
        key = SecretStr("sk-conformance-0123456789")
        account = Account(kind="openai", base_url=served.base_url, api_key=key, grace_s=0.5)
        return ProviderCase(account=account, model="gpt-4o-mini", parameters={"n_epochs": 1})
