"""The fake provider passes the suite."""

from __future__ import annotations

import pytest

from broker.settings import Account
from broker.testing import ProviderCase, ProviderConformance


class TestFake(ProviderConformance):
    @pytest.fixture
    def case(self) -> ProviderCase:
        return ProviderCase(account=Account(kind="fake", options={"steps": 3}), model="fake-base", patience_s=10)


class TestFakeWithLag(ProviderConformance):
    @pytest.fixture
    def case(self) -> ProviderCase:
        options = {"steps": 3, "list_lag": 3}
        return ProviderCase(account=Account(kind="fake", options=options), model="fake-base", patience_s=10)
