"""A local provider with a tiny model; one for all tests of a module, since a torch process takes seconds to begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from typing import TYPE_CHECKING

from tests.fakes.local_desk import Desk, open_desk
from tests.fakes.tiny_model import build_tiny

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
async def desk(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path_factory.mktemp("local"), tiny) as opened:
        yield opened
