"""Batches: half the price; picks up where it stopped, merges what there is, asks live what failed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from broker.errors import ProviderError, RefusedError
from tests.fakes.gemini_server import Habits, Rule
from tests.fakes.patience import until
from tests.unit.gemini.conftest import MODEL, questions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from broker.providers.contract import Answer
    from tests.unit.gemini.conftest import Desk, OpenDesk

pytestmark = pytest.mark.anyio
CREATE = "batchGenerateContent"
OPTIONS: dict[str, Any] = {"batch": True, "batch_poll_s": 0.02, "grace_s": 30.0}
# Where what was sent may never have arrived, and the grace time is waited out.
IN_VAIN = OPTIONS | {"grace_s": 0.5}
# The same rows inline, and by a file.
WAYS = pytest.mark.parametrize("way", [{}, {"batch_inline_bytes": 0}], ids=["inline", "file"])


def texts(*numbers: int) -> list[str]:
    return [f"q{n}" for n in numbers]


async def ask(desk: Desk, *numbers: int) -> dict[str, Answer]:
    found = await desk.ask(*texts(*numbers))
    assert {name: answer.text for name, answer in found.items()} == {
        text: f"answer to {text}" for text in texts(*numbers)
    }
    return found


def batches(desk: Desk) -> list[int]:
    """Return how many batches there are of each key."""
    counts: dict[str, int] = desk.server.state.ledger()["batches_per_display_name"]
    return list(counts.values())


def live(desk: Desk) -> int:
    """Return how many answers did not come from a batch."""
    return sum(not one.batch for one in desk.server.state.paid)


@WAYS
async def test_all_rows_come_from_one_batch_at_half_the_price(open_desk: OpenDesk, way: dict[str, Any]) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        found = await ask(desk, *range(30))
        assert batches(desk) == [1]
        assert (live(desk), len(desk.server.state.paid)) == (0, 30)
        answer = found["q3"]
        assert answer.cost_usd == pytest.approx((answer.input_tokens * 0.15 + answer.output_tokens * 1.25) / 1e6)
        (batch,) = desk.server.state.batches.values()
        assert batch.display_name.startswith("broker-bi-")
        assert batch.inline is not bool(way)
        assert any(text.startswith("batch ") for text, _, _ in desk.reports)


@WAYS
async def test_a_text_may_hold_line_ends_of_other_kinds(open_desk: OpenDesk, way: dict[str, Any]) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        odd = "one\u2028two\x85three"
        found = await desk.ask(odd, "q1")
        assert [answer.text for answer in found.values()] == [f"answer to {odd}", "answer to q1"]
        assert live(desk) == 0


async def test_a_batch_asks_just_as_live(open_desk: OpenDesk) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    bodies: list[dict[str, Any]] = []
    for options in ({}, {**OPTIONS}, {**OPTIONS, "batch_inline_bytes": 0}):
        async with open_desk(thinking_level="low", safety="OFF", **options) as desk:
            await desk.one(f"q{len(bodies)}", schema=schema, stop=("END",))
            state = desk.server.state
            asked = [one for batch in state.batches.values() for _, one in batch.requests] or list(state.bodies)
            bodies.append(asked[-1])
    for body in bodies:
        body["contents"][0]["parts"][0]["text"] = "q"
    assert bodies[0]["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW"}
    assert bodies[0] == bodies[1] == bodies[2]


@WAYS
@pytest.mark.parametrize("fault", ["row_error", "row_missing"])
async def test_rows_that_a_batch_fails_are_asked_live(open_desk: OpenDesk, way: dict[str, Any], fault: str) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        desk.server.state.rules = [Rule(fault, call="batch.row", nth=[2, 5, 11])]
        found = await ask(desk, *range(20))
        assert live(desk) == 3
        assert batches(desk) == [1]
        for one in desk.server.state.paid:
            answer, share = found[one.prompt], 0.5 if one.batch else 1.0
            full = (answer.input_tokens * 0.3 + answer.output_tokens * 2.5) / 1e6
            assert answer.cost_usd == pytest.approx(full * share)


@WAYS
async def test_rows_that_were_answered_badly_say_why(open_desk: OpenDesk, way: dict[str, Any]) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        desk.server.state.rules = [
            Rule("safety", call="batch.row", contains="q1'"),
            Rule("blocked", call="batch.row", contains="q2'"),
            Rule("finish", call="batch.row", contains="q3'"),
            Rule("looping", call="batch.row", contains="q4'"),
            Rule("unknown_fields", call="batch.row", contains="q5'"),
        ]
        found = await desk.ask(*texts(*range(7)))
        reasons = [found[text].finish_reason for text in texts(*range(7))]
        assert reasons == ["stop", "safety", "blocked", "a_reason_of_tomorrow", "repetition", "stop", "stop"]
        assert [bool(answer.failure) for answer in found.values()].count(True) == 4
        assert live(desk) == 0
        # Whoever asks again wants another answer; the good ones are still there.
        desk.server.state.rules = []
        assert (await ask(desk, *range(7))).keys() == found.keys()
        assert live(desk) == 4
        assert batches(desk) == [1]


@pytest.mark.parametrize("end", ["FAILED", "EXPIRED", "CANCELLED"])
async def test_a_batch_that_fails_as_a_whole_is_asked_live(open_desk: OpenDesk, end: str) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits = Habits(batch_end=end)
        await ask(desk, *range(10))
        assert live(desk) == 10


async def test_a_batch_that_succeeds_in_part_gives_what_it_has(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits = Habits(batch_end="PARTIALLY_SUCCEEDED")
        desk.server.state.rules = [Rule("row_missing", call="batch.row", nth=[1])]
        await ask(desk, *range(10))
        assert live(desk) == 1


async def test_a_batch_in_an_unknown_state_goes_on(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits = Habits(batch_state="JOB_STATE_OF_TOMORROW")
        with anyio.move_on_after(0.5):
            await ask(desk, 1, 2)
        assert live(desk) == 0
        desk.server.state.habits = Habits()
        await ask(desk, 1, 2)
        assert batches(desk) == [1]


@WAYS
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("fault", ["lose", "500_after", "truncated", "truncated_clean", "list_body"])
async def test_an_unclear_batch_is_found_by_its_key(
    open_desk: OpenDesk, way: dict[str, Any], fault: str, lag: int
) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        desk.server.state.habits = Habits(list_lag=lag)
        desk.server.state.rules = [Rule(fault, call=CREATE, nth=[1])]
        await ask(desk, *range(10))
        assert batches(desk) == [1]
        assert desk.server.state.calls[CREATE] == 1


async def test_a_batch_that_never_arrived_is_sent_once_more(open_desk: OpenDesk) -> None:
    async with open_desk(**IN_VAIN) as desk:
        desk.server.state.rules = [Rule("reset_before", call=CREATE, nth=[1])]
        await ask(desk, *range(10))
        assert batches(desk) == [1]
        assert desk.server.state.calls[CREATE] == 2


async def test_a_batch_that_cannot_be_settled_is_told_with_its_key(open_desk: OpenDesk) -> None:
    async with open_desk(**(OPTIONS | {"grace_s": 0.05})) as desk:
        desk.server.state.rules = [Rule("reset_before", call=CREATE)]
        with pytest.raises(ProviderError, match="display name broker-bi-"):
            await ask(desk, 1, 2)
        assert desk.server.state.calls[CREATE] == 2


async def test_a_key_is_found_on_a_later_page(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        state = desk.server.state
        state.habits = Habits(page_most=2)
        state.rules = [Rule("lose", call=CREATE, nth=[1])]
        with anyio.move_on_after(0.0):
            await ask(desk, 1)
        for number in range(5):
            state.add_batch("models/m", f"somebody else's {number}", [], inline=True)
        state.batches = dict(reversed(state.batches.items()))
        await ask(desk, 1)
        assert sum(batch.display_name.startswith("broker-") for batch in state.batches.values()) == 1


@WAYS
async def test_a_stopped_round_is_picked_up_without_paying_again(open_desk: OpenDesk, way: dict[str, Any]) -> None:
    async with open_desk(**OPTIONS, **way) as desk:
        desk.server.state.habits = Habits(batch_looks=10_000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk, *range(10))
            await until(lambda: desk.server.state.calls["batches.get"] > 1)
            tasks.cancel_scope.cancel()
        assert batches(desk) == [1]
    async with open_desk(**OPTIONS, **way) as again:
        again.server.state.habits = Habits()
        # Only some rows are still wanted, and one is new.
        await ask(again, 3, 4, 5, 99)
        assert batches(again) == [1, 1]
        assert (live(again), len(again.server.state.paid)) == (0, 11)
        assert again.server.state.asked_twice() == []


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2])
async def test_a_stop_at_any_time_makes_no_second_batch(open_desk: OpenDesk, after_s: float) -> None:
    async with open_desk(**IN_VAIN) as desk:
        with anyio.move_on_after(after_s):
            await ask(desk, *range(10))
    async with open_desk(**IN_VAIN) as again:
        await ask(again, *range(10))
        assert batches(again) == [1]
        assert again.server.state.asked_twice() == []


async def test_a_stop_between_rows_loses_none(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        asked = cast("AsyncGenerator[Answer]", desk.provider.completer(MODEL).complete(questions(texts(*range(10)))))
        async with aclosing(asked) as answers:
            async for _ in answers:
                break
        await ask(desk, *range(10))
        assert batches(desk) == [1]


async def test_many_rows_make_several_batches(open_desk: OpenDesk) -> None:
    async with open_desk(batch_rows=8, **OPTIONS) as desk:
        await ask(desk, *range(20))
        assert batches(desk) == [1, 1, 1]


@pytest.mark.parametrize("fault", ["lose", "500_after", "truncated"])
@pytest.mark.parametrize("call", ["files.start", "files.upload", "files.get", "files.download", "batches.get"])
async def test_files_and_looks_bear_faults(open_desk: OpenDesk, call: str, fault: str) -> None:
    async with open_desk(batch_inline_bytes=0, **OPTIONS) as desk:
        desk.server.state.habits = Habits(file_looks=1)
        desk.server.state.rules = [Rule(fault, call=call, nth=[1])]
        await ask(desk, *range(5))
        assert batches(desk) == [1]
        assert live(desk) == 0
        assert [name for name in desk.server.state.files if name.startswith("files/broker-bi-")] != []


async def test_results_that_are_gone_are_asked_live(open_desk: OpenDesk) -> None:
    async with open_desk(batch_inline_bytes=0, **OPTIONS) as desk:
        desk.server.state.rules = [Rule("403", call="files.download")]
        await ask(desk, *range(4))
        assert live(desk) == 4


@pytest.mark.parametrize(("fault", "said"), [("429_day", "no quota left"), ("400_key", "does not know the key")])
async def test_a_batch_that_is_refused_is_told(open_desk: OpenDesk, fault: str, said: str) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.rules = [Rule(fault, call=CREATE)]
        with pytest.raises(RefusedError, match=said):
            await ask(desk, 1, 2)
        desk.server.state.rules = []
        assert len(await ask(desk, 1, 2)) == 2


async def test_the_last_few_rows_of_a_large_work_are_not_worth_a_batch(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        completer = desk.provider.completer(MODEL)

        async def answered(*numbers: int) -> int:
            rows = questions(texts(*numbers))
            return len([one async for one in completer.complete(rows) if one.failure is None])

        assert await answered(*range(260)) == 260
        assert await answered(*range(300, 313)) == 13  # a twentieth
        assert (live(desk), batches(desk)) == (0, [1, 1])
        assert await answered(*range(400, 412)) == 12
        assert (live(desk), batches(desk)) == (12, [1, 1])
        assert any("asked live" in text for text, _, _ in desk.reports)
        assert desk.server.state.asked_twice() == []


async def test_what_a_stopped_round_sent_is_known_to_be_paid_once(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits = Habits(batch_looks=10_000)
        with anyio.move_on_after(0.7):
            await ask(desk, 1, 2)
    async with open_desk(**OPTIONS) as again:
        again.server.state.habits = Habits()
        found = await ask(again, 1, 2, 3)
    assert [found[text].taken_up for text in texts(1, 2, 3)] == [True, True, False]


async def test_rows_of_a_batch_without_keys_are_read_in_their_order_and_never_by_halves(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.habits = Habits(row_keys="none")
        await ask(desk, *range(6))
        assert live(desk) == 0
        # Some keys are there and the order is another one: nobody can say whose the others are.
        desk.server.state.habits = Habits(row_keys="some")
        await ask(desk, *range(10, 16))
        assert live(desk) == 3


async def test_a_recited_source_is_named_in_a_batch_too(open_desk: OpenDesk) -> None:
    async with open_desk(**OPTIONS) as desk:
        desk.server.state.rules = [Rule("recitation", call="batch.row")]
        answer = await desk.one("q")
    assert "https://example.com/poem" in (answer.failure or "")
