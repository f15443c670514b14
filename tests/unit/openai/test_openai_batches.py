"""The Batch API: half the price; picks up where it stopped, merges what there is, asks live what failed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from broker.errors import ProviderError, RefusedError
from broker.jobs.spec import ModelRef
from broker.providers.batchbook import Line, parcels
from broker.providers.contract import Answer, CompletionRequest
from tests.fakes.openai_server import Rule
from tests.fakes.patience import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.unit.openai.conftest import Desk, OpenDesk

pytestmark = pytest.mark.anyio
CREATE = "POST /batches"
OPTIONS: dict[str, Any] = {"batch": True, "batch_poll_s": 0.02, "paid": True}
MODEL = ModelRef(provider="openai", name="gpt-4o-mini-2024-07-18")


def rows(*numbers: int) -> list[CompletionRequest]:
    return [CompletionRequest(id=str(n), messages=({"role": "user", "content": f"q{n}"},)) for n in numbers]


async def ask(desk: Desk, *numbers: int) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    async for answer in desk.provider.completer(MODEL).complete(rows(*numbers)):
        assert answer.id not in found
        assert answer.text == f"answer to q{answer.id}"
        found[answer.id] = answer
    return found


def batches(desk: Desk) -> list[int]:
    counts: dict[str, int] = desk.server.state.ledger()["batches_per_input"]
    return list(counts.values())


async def test_all_rows_come_from_one_batch_at_half_the_price(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        found = await ask(desk, *range(30))
        assert len(found) == 30
        assert batches(desk) == [1]
        assert desk.server.state.chats == {"batch": 30}
        answer = found["3"]
        assert answer.cost_usd == pytest.approx((answer.input_tokens * 0.075 + answer.output_tokens * 0.3) / 1e6)
        (batch,) = desk.server.state.batches.values()
        assert batch.body["endpoint"] == "/v1/chat/completions"
        assert list(batch.body["metadata"]) == ["broker_batch"]
        assert desk.server.state.files[batch.body["input_file_id"]].body["purpose"] == "batch"
        assert any(text.startswith("batch ") for text, _, _ in desk.reports)


@pytest.mark.parametrize("habits", [{"batch_fail": 3}, {"batch_drop": 4}, {"batch_end": "expired", "batch_drop": 2}])
async def test_rows_that_a_batch_fails_are_asked_live(open_desk: OpenDesk, habits: dict[str, Any]) -> None:
    async with open_desk(**OPTIONS) as desk:
        for name, value in habits.items():
            setattr(desk.server.state.habits, name, value)
        assert len(await ask(desk, *range(20))) == 20
        assert desk.server.state.chats["answered"] in {5, 6, 10}


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
async def test_a_batch_that_fails_as_a_whole_is_asked_live(open_desk: OpenDesk, end: str) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits.batch_end = end
        desk.server.state.habits.batch_drop = 1
        assert len(await ask(desk, *range(10))) == 10
        assert desk.server.state.chats["answered"] == 10


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(
    "fault", ["lose", "500_after", "half_json", "half_json_clean", "reset", "409_after", "list_body"]
)
async def test_an_unclear_batch_is_found_by_its_key(open_desk: OpenDesk, fault: str, lag: int) -> None:
    async with open_desk(grace_s=30, **OPTIONS) as desk:
        desk.server.state.habits.list_lag = lag
        desk.server.state.rules = [Rule(CREATE, fault, [1])]
        assert len(await ask(desk, *range(10))) == 10
        assert batches(desk) == [1]
        assert desk.server.state.calls[CREATE] == 1


async def test_a_batch_that_never_arrived_is_sent_once_more(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.rules = [Rule(CREATE, "reset_before", [1])]
        assert len(await ask(desk, *range(10))) == 10
        assert batches(desk) == [1]
        assert desk.server.state.calls[CREATE] == 2


async def test_a_batch_that_cannot_be_settled_is_told_with_its_key(open_desk: OpenDesk) -> None:
    async with open_desk(**(OPTIONS | {"grace_s": 0.05})) as desk:
        desk.server.state.rules = [Rule(CREATE, "reset_before")]
        with pytest.raises(ProviderError, match="broker_batch=bi-"):
            await ask(desk, 1, 2)
        assert desk.server.state.calls[CREATE] == 2


async def test_a_stopped_round_is_picked_up_without_paying_again(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits.batch_looks = 10_000
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, *range(10))
            await until(lambda: desk.server.state.calls["GET /batches/ID"] > 1)
            tasks.cancel_scope.cancel()
        assert batches(desk) == [1]
    async with open_desk(**OPTIONS) as again:
        again.server.state.habits.batch_looks = 2
        # Only some rows are still wanted, and one is new.
        found = await ask(again, 3, 4, 5, 99)
        assert sorted(found) == ["3", "4", "5", "99"]
        assert batches(again) == [1, 1]
        assert again.server.state.chats == {"batch": 11}


async def test_a_stop_between_rows_loses_none(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        asked = cast("AsyncGenerator[Answer]", desk.provider.completer(MODEL).complete(rows(*range(10))))
        async with aclosing(asked) as answers:
            async for _ in answers:
                break
        assert len(await ask(desk, *range(10))) == 10
        assert batches(desk) == [1]


async def test_many_rows_make_several_batches(open_desk: OpenDesk) -> None:
    async with open_desk(batch_rows=8, **OPTIONS) as desk:
        assert len(await ask(desk, *range(20))) == 20
        assert batches(desk) == [1, 1, 1]


async def test_a_batch_that_is_refused_is_told(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.rules = [Rule(CREATE, "quota")]
        with pytest.raises(RefusedError, match="no quota left"):
            await ask(desk, 1, 2)
        desk.server.state.rules = []
        assert len(await ask(desk, 1, 2)) == 2


def test_parcels_fit_rows_and_bytes() -> None:
    lines = [Line(id=str(n), request_id=str(n), text="x" * 9) for n in range(10)]
    assert [len(parcel) for parcel in parcels(lines, most_rows=4, most_bytes=1000)] == [4, 4, 2]
    assert [len(parcel) for parcel in parcels(lines, most_rows=99, most_bytes=30)] == [3, 3, 3, 1]
    assert parcels([], most_rows=1, most_bytes=1) == []
