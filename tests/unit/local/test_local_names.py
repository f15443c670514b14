"""What a person means by a model's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.api import Broker
from broker.jobs.spec import ModelRef
from broker.jobs.store import open_store
from broker.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

TUNED = ModelRef(provider="local", name="sandbox", adapter="/somewhere/adapter", precision="int8")
REMOTE = ModelRef(provider="openai", name="ft:gpt-4o-mini:me::1")


@pytest.mark.anyio
async def test_the_name_of_a_base_means_the_base_also_when_it_was_tuned(tmp_path: Path) -> None:
    settings = load_settings(overrides={"data_dir": tmp_path})
    async with Broker(settings, drive=False) as broker:
        store = open_store(settings.store_url)
        try:
            store.add_model(TUNED, alias="casual", job_id=None)
            store.add_model(REMOTE, alias="far", job_id=None)
        finally:
            store.close()
        assert await broker.model("casual") == TUNED
        assert await broker.model("sandbox") == ModelRef(provider="local", name="sandbox")
        assert await broker.model("ft:gpt-4o-mini:me::1") == REMOTE
