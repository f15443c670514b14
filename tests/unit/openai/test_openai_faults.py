"""What goes wrong between the broker and the server, at every call, and that nothing is made twice or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import OutcomeUnknownError, ProviderError, RateLimitedError, RefusedError, UnavailableError
from broker.providers.contract import Advice, RemoteState
from tests.fakes.openai_server import Rule

if TYPE_CHECKING:
    from tests.unit.openai.conftest import OpenDesk

pytestmark = pytest.mark.anyio

CREATE = "POST /fine_tuning/jobs"
# (fault, options, has the server made a job, what submit must raise)
UNKNOWN = [
    ("lose", {}, True),
    ("500_after", {}, True),
    ("409_after", {}, True),
    ("reset", {}, True),
    ("half_json", {}, True),
    ("half_json_clean", {}, True),
    ("late", {"delay_s": 3.0}, True),
    ("slow", {"delay_s": 0.5}, True),
    ("list_body", {}, True),
    ("html_after", {}, True),
    ("500_before", {}, False),
    ("503_before", {}, False),
    ("409_before", {}, False),
    ("reset_before", {}, False),
    ("html", {}, False),
]
CERTAIN: list[tuple[str, type[ProviderError], Advice, str]] = [
    ("400", RefusedError, Advice.NEVER, "invalid_value"),
    ("401", RefusedError, Advice.NEVER, "unauthorized"),
    ("403", RefusedError, Advice.NEVER, "tuning_closed"),
    ("404", RefusedError, Advice.NEVER, "not_found"),
    ("429", RateLimitedError, Advice.RETRY_AT, "rate_limited"),
    ("quota", RefusedError, Advice.NEVER, "insufficient_quota"),
]


@pytest.mark.parametrize(("fault", "options", "made"), UNKNOWN, ids=[fault for fault, _, _ in UNKNOWN])
async def test_an_unclear_create_is_sent_once_and_settled_by_find(
    open_desk: OpenDesk, fault: str, options: dict[str, Any], made: bool
) -> None:
    async with open_desk(timeout_s=0.6) as desk:
        desk.server.state.rules = [Rule(CREATE, fault, [1], options=options)]
        intent = desk.intent()
        await desk.provider.prepare(intent)
        with pytest.raises(OutcomeUnknownError) as caught:
            await desk.provider.submit(intent)
        assert desk.provider.classify(caught.value).advice is Advice.UNKNOWN
        assert desk.server.state.calls[CREATE] == 1
        found = await desk.provider.find(intent)
        assert (found is not None) is made
        assert len(desk.server.state.jobs) == int(made)


@pytest.mark.parametrize(("fault", "error", "advice", "code"), CERTAIN, ids=[row[0] for row in CERTAIN])
async def test_a_certain_refusal_is_told_apart(
    open_desk: OpenDesk, fault: str, error: type[ProviderError], advice: Advice, code: str
) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule(CREATE, fault, [1])]
        intent = desk.intent()
        await desk.provider.prepare(intent)
        with pytest.raises(error) as caught:
            await desk.provider.submit(intent)
        assert not isinstance(caught.value, OutcomeUnknownError)
        verdict = desk.provider.classify(caught.value)
        assert (verdict.advice, verdict.code) == (advice, code)
        assert verdict.message
        assert desk.server.state.jobs == {}


async def test_the_wait_of_a_429_is_told(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule(CREATE, "429", [1], options={"retry_after": 17})]
        intent = desk.intent()
        await desk.provider.prepare(intent)
        with pytest.raises(RateLimitedError) as caught:
            await desk.provider.submit(intent)
        assert desk.provider.classify(caught.value).after_s == 17


async def test_no_server_at_all_is_certain(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        await desk.provider.prepare(intent)
    async with open_desk(base_url="http://127.0.0.1:9/v1") as dead:
        with pytest.raises(UnavailableError, match="cannot be reached") as caught:
            # The upload is known already; the first thing asked is the state of the file.
            await dead.provider.submit(intent)
        assert dead.provider.classify(caught.value).advice is Advice.RETRY


async def test_a_closed_account_is_told_what_to_do_instead(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.rules = [Rule(CREATE, "403", [1])]
        intent = desk.intent()
        await desk.provider.prepare(intent)
        with pytest.raises(RefusedError) as caught:
            await desk.provider.submit(intent)
        text = str(caught.value)
        assert "this organisation may not create fine-tuning jobs" in text
        assert "2026-05-07" in text
        assert "2027-01-06" in text
        assert "--provider local" in text
        assert "base_url" in text


READS = ["GET /fine_tuning/jobs/ID", "GET /fine_tuning/jobs", "GET /fine_tuning/jobs/ID/events", "GET /files/ID"]
TRANSIENT = [
    "500_before",
    "503_before",
    "reset",
    "half_json",
    "half_json_clean",
    "list_body",
    "html",
    "429",
    "409_before",
]


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("call", READS)
async def test_reads_get_over_passing_faults(open_desk: OpenDesk, call: str, fault: str) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        handle = await desk.create(intent)
        path = call.replace("ID", desk.file_id() if "files" in call else handle.id)
        desk.server.state.rules = [Rule(path, fault, [1, 2])]
        await desk.create(desk.intent())
        assert await desk.provider.find(intent) == handle
        assert (await desk.provider.poll([handle]))[handle.id].state is not None
        assert [event async for event in desk.provider.events(handle, None)]


@pytest.mark.parametrize("fault", ["500_before", "reset", "half_json", "late"])
async def test_a_read_that_never_comes_through_says_so(open_desk: OpenDesk, fault: str) -> None:
    async with open_desk(timeout_s=0.2) as desk:
        handle = await desk.create(desk.intent())
        desk.server.state.rules = [Rule(f"GET /fine_tuning/jobs/{handle.id}", fault, options={"delay_s": 1.0})]
        with pytest.raises(UnavailableError):
            await desk.provider.poll([handle])


async def test_one_job_that_cannot_be_looked_at_does_not_hide_the_others(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        handles = [await desk.create(desk.intent()) for _ in range(2)]
        desk.server.state.rules = [
            Rule("GET /fine_tuning/jobs", "400"),
            Rule(f"GET /fine_tuning/jobs/{handles[0].id}", "500_before"),
        ]
        statuses = await desk.provider.poll(handles)
        assert statuses[handles[0].id].state is None
        assert statuses[handles[0].id].error_code == "unavailable"
        assert statuses[handles[1].id].state is not None


@pytest.mark.parametrize("habits", [{"ignore_filter": True}, {"list_lag": 2}, {"ignore_after": True}, {"odd": True}])
async def test_find_copes_with_odd_servers(open_desk: OpenDesk, habits: dict[str, Any]) -> None:
    async with open_desk() as desk:
        intents = [desk.intent() for _ in range(3)]
        handles = [await desk.create(intent) for intent in intents]
        for name, value in habits.items():
            setattr(desk.server.state.habits, name, value)
        found = None
        for _ in range(3):
            found = found or await desk.provider.find(intents[0])
        assert found == handles[0]
        assert await desk.provider.find(desk.intent()) is None


async def test_find_looks_through_all_pages_when_the_filter_is_ignored(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        handle = await desk.create(intent)
        for _ in range(250):
            desk.server.state.add_job({"model": "m", "training_file": "f"})
        desk.server.state.habits.ignore_filter = True
        assert await desk.provider.find(intent) == handle


async def test_find_survives_a_server_that_refuses_the_filter(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        handle = await desk.create(intent)
        desk.server.state.rules = [Rule("GET /fine_tuning/jobs", "400", [1])]
        assert await desk.provider.find(intent) == handle


@pytest.mark.parametrize("status", ["", "pending_review", "paused_by_moderation"])
async def test_an_unknown_status_is_shown_and_never_guessed(open_desk: OpenDesk, status: str) -> None:
    async with open_desk() as desk:
        desk.server.state.habits.status = status or "quantum"
        handle = await desk.create(desk.intent())
        found = (await desk.provider.poll([handle]))[handle.id]
        assert found.state is None
        assert found.raw == (status or "quantum")


async def test_a_healthy_job_with_odd_fields_is_healthy(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.habits.odd = True
        handle = await desk.create(desk.intent())
        statuses = [(await desk.provider.poll([handle]))[handle.id] for _ in range(3)]
        assert statuses[0].error_code == ""
        assert statuses[-1].state is RemoteState.SUCCEEDED
        assert "hyperparameters" not in statuses[-1].result


async def test_a_failed_job_says_why(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.habits.fail = "invalid_training_file"
        handle = await desk.create(desk.intent())
        statuses = [(await desk.provider.poll([handle]))[handle.id] for _ in range(3)]
        assert statuses[-1].state is RemoteState.FAILED
        assert statuses[-1].error_code == "invalid_training_file"
        assert "the job failed" in statuses[-1].error_message
