"""The life of a job against a real server with the real SDK."""

from __future__ import annotations

import pytest

from broker.jobs.records import EventKind
from broker.providers.contract import RemoteState

pytestmark = pytest.mark.anyio


async def test_a_job_is_made_followed_and_found(open_desk) -> None:
    async with open_desk() as desk:
        intent = desk.intent(suffix="paper", metadata={"team": "a"})
        await desk.provider.prepare(intent)
        handle = await desk.provider.submit(intent)
        assert await desk.provider.find(intent) == handle
        assert await desk.provider.find(desk.intent()) is None
        states = []
        for _ in range(4):
            status = (await desk.provider.poll([handle]))[handle.id]
            states.append(status.state)
        assert states[-1] is RemoteState.SUCCEEDED
        assert status.model is not None and "paper" in status.model.name
        assert status.trained_tokens == 1_000_000
        events = [event async for event in desk.provider.events(handle, None)]
        assert [event.data["step"] for event in events] == [1, 2, 3, 4, 5, 6][: len(events)]
        assert events[0].kind is EventKind.PROGRESS and events[0].data["loss"] == 2.0
        later = [event async for event in desk.provider.events(handle, events[0].id)]
        assert later == events[1:]
        assert [one.step for one in await desk.provider.checkpoints(handle)] == [10, 20, 30]
        stored = await desk.provider.fetch_results(handle)
        assert [desk.artifacts.path(sha).read_text() for sha in stored.values()] == ["step,train_loss\n1,1.5\n"]
        sent = desk.server.state.jobs[handle.id].body
        assert sent["metadata"] == {"team": "a", "broker_intent": intent.key}
