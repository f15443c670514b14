"""Files: each content once, in parts when big, found again after a doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from broker.errors import RefusedError, UnavailableError
from tests.fakes.openai_server import Rule
from tests.fakes.patience import until

if TYPE_CHECKING:
    from tests.unit.openai.conftest import Desk, OpenDesk

pytestmark = pytest.mark.anyio
UPLOAD = "POST /files"


def contents(desk: Desk) -> dict[str, int]:
    counts: dict[str, int] = desk.server.state.ledger()["files_per_content"]
    return counts


async def test_the_same_content_goes_up_once(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        for _ in range(3):
            await desk.create(desk.intent())
        assert list(contents(desk).values()) == [1]
        assert any(done == total for _, done, total in desk.reports)


async def test_ten_at_once_go_up_once(open_desk: OpenDesk) -> None:
    async with open_desk() as desk, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(desk.provider.prepare, desk.intent())
    assert list(contents(desk).values()) == [1]


@pytest.mark.parametrize("how", ["deleted", "error"])
async def test_a_file_that_is_gone_or_broken_goes_up_again(open_desk: OpenDesk, how: str) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        await desk.provider.prepare(intent)
        first = desk.file_id()
        if how == "deleted":
            del desk.server.state.files[first]
        else:
            desk.server.state.files[first].body["status"] = "error"
        handle = await desk.create(intent)
        assert desk.server.state.jobs[handle.id].body["training_file"] != first


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("lose", {}), ("500_after", {}), ("half_json", {}), ("half_json_clean", {}), ("reset", {}), ("list_body", {}),
    ("500_before", {}), ("reset_before", {}), ("409_after", {}),
]  # fmt: skip


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=[name for name, _ in FAULTS])
async def test_an_unclear_upload_is_found_and_not_sent_again(
    open_desk: OpenDesk, fault: str, options: dict[str, Any], lag: int
) -> None:
    # What never arrived is sent again when the grace time is over; what did is found, however long that takes.
    async with open_desk(grace_s=0.8 if fault.endswith("_before") else 30) as desk:
        desk.server.state.habits.list_lag = lag
        desk.server.state.rules = [Rule(UPLOAD, fault, [1], options=options)]
        intent = desk.intent()
        handle = await desk.create(intent)
        assert contents(desk) == {intent.spec.train.sha256: 1}
        assert desk.server.state.jobs[handle.id].body["training_file"] == desk.file_id()


async def test_an_upload_cut_off_by_a_crash_is_found_by_the_next_broker(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        intent = desk.intent()
        desk.server.state.rules = [Rule(UPLOAD, "late", [1], options={"delay_s": 5})]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.provider.prepare, intent)
            await until(lambda: bool(desk.server.state.files))
            tasks.cancel_scope.cancel()
        assert len(desk.server.state.files) == 1
    async with open_desk() as again:
        await again.create(intent)
        assert contents(again) == {intent.spec.train.sha256: 1}


async def test_a_refused_upload_leaves_nothing_to_wait_for(open_desk: OpenDesk) -> None:
    async with open_desk(grace_s=30) as desk:
        desk.server.state.rules = [Rule(UPLOAD, "400", [1])]
        with pytest.raises(RefusedError):
            await desk.provider.prepare(desk.intent())
        assert desk.ledger.held == {}
        with anyio.fail_after(5):
            await desk.provider.prepare(desk.intent())


async def test_an_upload_that_never_arrives_is_given_up(open_desk: OpenDesk) -> None:
    async with open_desk(grace_s=0.1) as desk:
        desk.server.state.rules = [Rule(UPLOAD, "reset_before")]
        with pytest.raises(UnavailableError):
            await desk.provider.prepare(desk.intent())
        assert desk.server.state.calls[UPLOAD] == 2


async def test_a_big_file_goes_up_in_parts(open_desk: OpenDesk) -> None:
    async with open_desk(single_bytes=500, part_bytes=300) as desk:
        desk.server.state.rules = [Rule("POST /uploads/upload", "500_before", [2], exact=False)]
        intent = desk.intent()
        await desk.create(intent)
        assert contents(desk) == {intent.spec.train.sha256: 1}
        assert len(desk.server.state.parts) == -(-intent.spec.train.bytes // 300)
        assert [done for _, done, _ in desk.reports] == sorted(done for _, done, _ in desk.reports)


@pytest.mark.parametrize("fault", ["lose", "500_after", "half_json"])
async def test_a_completion_of_parts_that_is_unclear_is_found(open_desk: OpenDesk, fault: str) -> None:
    async with open_desk(single_bytes=500, part_bytes=300) as desk:
        intent = desk.intent()
        desk.server.state.rules = [Rule(f"POST /uploads/{desk.next_id('upload')}/complete", fault, [1])]
        await desk.create(intent)
        assert contents(desk) == {intent.spec.train.sha256: 1}


async def test_a_server_without_the_uploads_api_gets_one_piece(open_desk: OpenDesk) -> None:
    async with open_desk(single_bytes=500) as desk:
        desk.server.state.habits.no_uploads = True
        intent = desk.intent()
        await desk.create(intent)
        assert contents(desk) == {intent.spec.train.sha256: 1}


async def test_processing_is_waited_for(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.habits.file_status = "pending"
        await desk.provider.prepare(desk.intent())
        assert desk.server.state.files[desk.file_id()].body["status"] == "processed"


async def test_a_file_found_unusable_says_why(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.server.state.habits.file_status = "error"
        with pytest.raises(RefusedError, match="unusable"):
            await desk.provider.prepare(desk.intent())


async def test_a_status_that_never_changes_is_not_waited_for_twice(open_desk: OpenDesk) -> None:
    async with open_desk(processing_s=0.3) as desk:
        desk.server.state.habits.file_status, desk.server.state.habits.file_looks = "uploaded", 10_000
        await desk.provider.prepare(desk.intent())
        begun = anyio.current_time()
        await desk.provider.prepare(desk.intent(train=desk.data(rows=20)))
        assert anyio.current_time() - begun < 0.25


async def test_uploads_of_one_moment_do_not_forget_each_other(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    async with open_desk() as desk:
        slow, refused = desk.intent(train=desk.data(rows=12)), desk.intent(train=desk.data(rows=13))
        desk.server.state.rules = [
            Rule(UPLOAD, "late", [1], options={"delay_s": 5}),
            Rule(UPLOAD, "400", [2]),
        ]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.provider.prepare, slow)
            await until(lambda: bool(desk.server.state.files))
            with pytest.raises(RefusedError):
                await desk.provider.prepare(refused)
            tasks.cancel_scope.cancel()
        assert len(desk.server.state.files) == 1
    monkeypatch.undo()
    async with open_desk() as again:
        await again.create(slow)
        assert contents(again) == {slow.spec.train.sha256: 1}
