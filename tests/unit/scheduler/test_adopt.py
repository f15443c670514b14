"""Jobs that were made elsewhere are taken into the store, followed and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import UnknownNameError
from broker.jobs.states import JobKind, State
from broker.providers.fake import FakeRemote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.scheduler.conftest import Opener

pytestmark = pytest.mark.anyio


async def test_a_job_of_elsewhere_reaches_the_table(open_broker: Opener, rows: dict[str, Path], tmp_path: Path) -> None:
    elsewhere = FakeRemote(path=tmp_path / "data" / "fake" / "ledger.jsonl")
    remote_id = elsewhere.create("made-by-hand", "fake-base")
    async with open_broker(settings={"defaults": {"metrics": ["length"]}}) as broker:
        job = await broker.adopt("fake", remote_id, validation=str(rows["validation"]))
        again = await broker.adopt("fake", remote_id)
        await broker.wait(experiment=job.experiment)
        jobs = await broker.jobs()
    assert again.id == job.id
    assert {found.state for found in jobs} == {State.SUCCEEDED}
    assert [found.kind for found in jobs].count(JobKind.EVALUATE) == 2, "its base is judged too"
    elsewhere.close()
    assert len(elsewhere.jobs) == 1, "nothing was created"


async def test_an_unknown_job_is_not_adopted(open_broker: Opener) -> None:
    async with open_broker(drive=False) as broker:
        with pytest.raises(UnknownNameError, match="no-such-job"):
            await broker.adopt("fake", "no-such-job")
        assert await broker.jobs() == []
