"""The local provider passes the suite, with a tiny real model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.settings import Account
from broker.testing import ProviderCase, ProviderConformance
from tests.fakes.tiny_model import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.spec import ParameterValue


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.timeout(240)
class TestLocal(ProviderConformance):
    @pytest.fixture
    def case(self, tiny: Path) -> ProviderCase:
        parameters: dict[str, ParameterValue] = {"precision": "fp32", "epochs": 1, "batch_size": 8, "rank": 4}
        return ProviderCase(
            account=Account(kind="local"),
            model=str(tiny),
            parameters=parameters,
            patience_s=120,
            settings={"device": "cpu"},
        )
