"""The gate: retries what a retry mends, gives up when patience is over, passes cancellation on."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from broker.gateway import Fate, Gate, Judgement, Limits, Patience, Reply, Seen

pytestmark = pytest.mark.anyio


class LimitedError(Exception):
    pass


class BusyError(Exception):
    pass


class BrokenError(Exception):
    pass


FATES: dict[type[BaseException], Fate] = {
    LimitedError: Fate.LIMITED,
    BusyError: Fate.OVERLOADED,
    BrokenError: Fate.RETRY,
}


def judge(error: BaseException) -> Judgement:
    return Judgement(fate=FATES.get(type(error), Fate.FINAL), seen=Seen(retry_after_s=0.01))


@dataclass
class Remote:
    """Raises what it is told, then answers."""

    errors: list[Exception] = field(default_factory=list[Exception])
    calls: int = 0

    async def __call__(self) -> Reply[str]:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return Reply(value="answer")


def gate(**patience: float) -> Gate:
    settings = {"tries": 4, "first_s": 0.001, "most_s": 0.002} | patience
    return Gate(judge, Limits(), Patience(**settings))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "errors", [[], [LimitedError()] * 20, [BusyError(), BrokenError(), BusyError()], [LimitedError(), BrokenError()]]
)
async def test_what_a_retry_mends_is_answered(errors: list[Exception]) -> None:
    remote = Remote(list(errors))
    assert await gate().call(remote) == "answer"
    assert remote.calls == len(errors) + 1


async def test_rejections_do_not_count_as_failures() -> None:
    errors: list[Exception] = [
        LimitedError(),
        BrokenError(),
        LimitedError(),
        BrokenError(),
        LimitedError(),
        BrokenError(),
        LimitedError(),
    ]
    assert await gate().call(Remote(errors)) == "answer"


async def test_after_enough_failures_the_last_one_is_raised() -> None:
    remote = Remote([BrokenError(str(number)) for number in range(10)])
    with pytest.raises(BrokenError, match="3"):
        await gate().call(remote)
    assert remote.calls == 4


async def test_what_no_retry_mends_is_raised_at_once() -> None:
    remote = Remote([ValueError("no")])
    with pytest.raises(ValueError, match="no"):
        await gate().call(remote)
    assert remote.calls == 1


async def test_nothing_but_rejections_ends_some_time() -> None:
    remote = Remote([LimitedError() for _ in range(1000)])
    with anyio.fail_after(5), pytest.raises(LimitedError):
        await gate(limited_s=0.1).call(remote)


async def test_once_is_once() -> None:
    remote = Remote([BrokenError()])
    with pytest.raises(BrokenError):
        await gate().once(remote)
    assert remote.calls == 1


async def test_cancellation_passes_and_frees_the_place() -> None:
    one = gate()

    async def never() -> Reply[str]:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.move_on_after(0.02) as scope:
        await one.call(never)
    assert scope.cancelled_caught
    assert one.pacer.in_flight == 0
    assert await one.call(Remote()) == "answer"


async def test_a_cancelled_waiter_lets_the_next_one_through() -> None:
    one = Gate(judge, Limits(requests_per_minute=600))
    for _ in range(2):
        with anyio.move_on_after(0.01):
            await one.call(Remote())
    with anyio.fail_after(2):
        assert await one.call(Remote()) == "answer"


async def test_many_callers_share_one_cool_down() -> None:
    one, calls = gate(), list[float]()

    async def ask(number: int) -> None:
        async def send() -> Reply[int]:
            calls.append(anyio.current_time())
            if len(calls) == 1:
                raise LimitedError
            return Reply(value=number)

        await one.call(send)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(ask, number)
    assert len(calls) == 31
