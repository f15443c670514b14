"""The life of a job against a real server with the real SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import RefusedError
from broker.jobs.records import EventKind, Handle
from broker.jobs.spec import Method
from broker.providers.contract import RemoteState

if TYPE_CHECKING:
    from tests.unit.openai.conftest import OpenDesk

pytestmark = pytest.mark.anyio


async def test_a_job_is_made_followed_and_found(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        intent = desk.intent(suffix="paper", metadata={"team": "a"})
        handle = await desk.create(intent)
        assert await desk.provider.find(intent) == handle
        assert await desk.provider.find(desk.intent()) is None
        statuses = [(await desk.provider.poll([handle]))[handle.id] for _ in range(3)]
        status = statuses[-1]
        assert status.state is RemoteState.SUCCEEDED
        assert status.model is not None
        assert "paper" in status.model.name
        assert status.trained_tokens == 1_000_000
        assert status.finished_at is not None
        assert desk.server.state.jobs[handle.id].body["metadata"] == {"team": "a", "broker_intent": intent.key}


async def test_events_checkpoints_and_result_files_are_read(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        for _ in range(3):
            await desk.provider.poll([handle])
        events = [event async for event in desk.provider.events(handle, None)]
        assert [event.data["step"] for event in events] == [1, 2, 3]
        assert events[0].kind is EventKind.PROGRESS
        assert events[0].data["loss"] == 2.0
        assert [event async for event in desk.provider.events(handle, events[0].id)] == events[1:]
        assert [one.step for one in await desk.provider.checkpoints(handle)] == [10, 20, 30]
        stored = await desk.provider.fetch_results(handle)
        assert [desk.artifacts.path(sha).read_text() for sha in stored.values()] == ["step,train_loss\n1,1.5\n"]


async def test_more_than_one_page_of_events_comes_whole_and_in_order(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        desk.server.state.habits.looks = 1000
        desk.server.state.jobs[handle.id].looks = 350
        events = [event async for event in desk.provider.events(handle, None)]
        assert [event.data["step"] for event in events] == list(range(1, 351))
        before = desk.server.state.calls.total()
        late = [event async for event in desk.provider.events(handle, events[-3].id)]
        assert [event.data["step"] for event in late] == [349, 350]
        assert desk.server.state.calls.total() - before == 1


@pytest.mark.parametrize(("ask", "state"), [("cancel", RemoteState.CANCELLED), ("pause", RemoteState.PAUSED)])
async def test_wishes_reach_the_job(open_desk: OpenDesk, ask: str, state: RemoteState) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        await getattr(desk.provider, ask)(handle)
        assert (await desk.provider.poll([handle]))[handle.id].state is state


async def test_a_paused_job_goes_on(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        await desk.provider.pause(handle)
        await desk.provider.resume(handle)
        states = [(await desk.provider.poll([handle]))[handle.id].state for _ in range(4)]
        assert states[-1] is RemoteState.SUCCEEDED


async def test_to_cancel_what_has_ended_is_no_error_and_to_pause_it_is(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        for _ in range(3):
            await desk.provider.poll([handle])
        await desk.provider.cancel(handle)
        with pytest.raises(RefusedError, match="already succeeded"):
            await desk.provider.pause(handle)


async def test_the_whole_request_of_an_sft_job(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        parameters = {
            "n_epochs": 5, "batch_size": 32, "learning_rate_multiplier": 1.0, "wandb_project": "tone",
            "wandb_name": "run-1", "wandb_entity": "team", "wandb_tags": ("a", "b"),
        }  # fmt: skip
        intent = desk.intent(parameters=parameters, seed=713, validation=desk.data(rows=3, name="validation.jsonl"))
        handle = await desk.create(intent)
        body = desk.server.state.jobs[handle.id].body
        numbers = {"n_epochs": 5, "batch_size": 32, "learning_rate_multiplier": 1.0}
        assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": numbers}}
        assert body["seed"] == 713
        wandb = {"project": "tone", "name": "run-1", "entity": "team", "tags": ["a", "b"]}
        assert body["integrations"] == [{"type": "wandb", "wandb": wandb}]
        train, validation = body["training_file"], body["validation_file"]
        assert train != validation
        content = desk.artifacts.path(intent.spec.train.sha256).read_bytes()
        assert desk.server.state.files[train].content == content
        assert desk.server.state.files[train].body["purpose"] == "fine-tune"


async def test_every_hyperparameter_may_be_auto_and_dpo_takes_beta(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        auto = dict.fromkeys(("n_epochs", "batch_size", "learning_rate_multiplier", "beta"), "auto")
        intent = desk.intent(method=Method.DPO, parameters=auto)
        assert [problem for problem in desk.provider.check(intent.spec) if problem.severity == "error"] == []
        handle = await desk.create(intent)
        body = desk.server.state.jobs[handle.id].body
        assert body["method"] == {"type": "dpo", "dpo": {"hyperparameters": auto}}
        row = desk.server.state.files[body["training_file"]].content.splitlines()[0]
        assert b"preferred_output" in row


async def test_what_is_not_given_is_not_sent(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handle = await desk.create(desk.intent())
        body = desk.server.state.jobs[handle.id].body
        assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": {}}}
        assert body["validation_file"] is None
        assert body["user_provided_suffix"] is None
        assert body["integrations"] == []


async def test_a_job_made_elsewhere_can_be_inspected(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        made = await desk.create(desk.intent())
        found = await desk.provider.inspect(Handle(provider="openai", id=made.id))
        assert found is not None
        assert found["model"] == "gpt-4o-mini-2024-07-18"
        assert await desk.provider.inspect(Handle(provider="openai", id="ftjob-none")) is None
