"""Providers, disks and jobs that fail: each trouble is told where it belongs, and stays there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from broker.errors import StoreError, UnavailableError, WorkerError
from broker.jobs.records import EventKind
from broker.jobs.states import State
from broker.providers.contract import RemoteState, RemoteStatus
from broker.scheduler.reading import read_error, telling
from tests.unit.scheduler.conftest import ask, becomes, tune, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from broker.jobs.records import Handle, Intent
    from broker.providers.fake import FakeRemote
    from tests.fakes.scripted import Script
    from tests.unit.scheduler.conftest import Opener, StoreGate

pytestmark = pytest.mark.anyio
Rows = dict[str, "Path"]
ENDLESS = 10**9


async def bug(*_args: object) -> None:
    raise KeyError("a bug of the provider")


@pytest.mark.parametrize("at", ["transition", "record_intent", "record_send", "record_handle", "append_events"])
async def test_a_full_disk_stops_the_process_with_one_clear_error_and_the_next_start_goes_on(
    open_broker: Opener, rows: Rows, gates: list[StoreGate], ledger: Callable[[], FakeRemote], at: str
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise StoreError("no space left on device", where="broker.db", fix="free some space")

    with pytest.raises(StoreError, match="no space left"):
        async with open_broker() as broker:
            jobs = [await tune(broker, rows, seed=seed) for seed in range(3)]
            gates[0].before[at] = full
            await broker.wait(jobs)
            await anyio.sleep_forever()
    async with open_broker(grace_s=0.05) as broker:
        ended = await broker.wait([job.id for job in await broker.jobs()])
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert set(ledger().jobs_per_intent().values()) == {1}


@pytest.mark.parametrize("at", ["prepare", "submit"])
async def test_a_disk_that_fails_inside_a_provider_fails_no_job(
    open_broker: Opener, rows: Rows, script: Script, at: str
) -> None:
    async def full(_intent: Intent) -> None:
        raise StoreError("no space left on device")

    script.before[at] = full
    with pytest.raises(StoreError, match="no space left"):
        async with open_broker() as broker:
            await tune(broker, rows)
            await anyio.sleep_forever()
    script.before.clear()
    async with open_broker(grace_s=0.05) as broker:
        (job,) = await broker.jobs()
        await becomes(broker, job, State.SUCCEEDED)


async def test_rows_that_are_gone_fail_their_job_and_no_other(open_broker: Opener, rows: Rows, tmp_path: Path) -> None:
    async with open_broker(drive=False) as broker:
        job = await tune(broker, rows)
        for stored in (tmp_path / "data" / "artifacts").rglob("*"):
            if stored.is_file():
                stored.unlink()
        other = await tune(broker, {**rows, "train": rows["validation"]})
    async with open_broker() as broker:
        failed, fine = await broker.wait([job, other])
    assert failed.failure is not None
    assert (failed.state, failed.failure.code, fine.state) == (State.FAILED, "data", State.SUCCEEDED)


async def test_a_failed_look_is_noted_and_cleared_and_changes_nothing(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    script.before["poll"] = bug
    async with open_broker(steps=2) as broker:
        job = await tune(broker, rows)

        async def noted() -> bool:
            return (await broker.job(job.id)).look is not None

        await until(noted)
        assert (await broker.job(job.id)).state is State.RUNNING
        del script.before["poll"]
        assert (await becomes(broker, job, State.SUCCEEDED)).look is None


async def test_progress_that_cannot_be_read_is_asked_for_less_and_less_often(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    script.before["events"] = bug
    async with open_broker(steps=60) as broker:
        job = await tune(broker, rows)
        ended = await becomes(broker, job, State.SUCCEEDED)
    assert ended.look is None
    assert script.calls["events"] < script.calls["poll"] / 3


async def test_a_provider_that_cannot_read_its_own_errors_loses_no_job(
    open_broker: Opener, rows: Rows, script: Script, ledger: Callable[[], FakeRemote]
) -> None:
    async def once(_intent: Intent) -> None:
        if script.calls["submit"] == 1:
            raise UnavailableError("who knows")

    script.before |= {"submit": once, "classify": bug}
    async with open_broker(grace_s=0.05) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUCCEEDED)
    assert list(ledger().jobs_per_intent().values()) == [1]


async def test_an_unknown_word_is_shown_and_not_guessed(open_broker: Opener, rows: Rows, script: Script) -> None:
    def odd(found: dict[str, RemoteStatus]) -> Mapping[str, RemoteStatus]:
        return {job: RemoteStatus(state=None, raw="meditating") for job in found}

    script.statuses = odd
    async with open_broker(steps=2) as broker:
        job = await tune(broker, rows)

        async def noted() -> bool:
            look = (await broker.job(job.id)).look
            return look is not None and "meditating" in look.message

        await until(noted)
        assert (await broker.job(job.id)).state is State.RUNNING
        script.statuses = dict
        await becomes(broker, job, State.SUCCEEDED)


async def test_a_job_that_its_provider_forgot_is_lost_and_says_how_to_go_on(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await ask(broker, rows)
        await becomes(broker, job, State.RUNNING)
        script.statuses = lambda _found: {}
        lost = await becomes(broker, job, State.LOST)
        assert lost.handle is not None
        assert lost.failure is not None
        assert lost.failure.fix.endswith(f"broker adopt {lost.handle.id} --job {job.id}")
        await broker.wait(experiment=job.experiment)
        script.statuses = dict
    async with open_broker(steps=1) as broker:
        await broker.adopt("fake", lost.handle.id, job=job.id)
        ended = await broker.wait(experiment=job.experiment)
    assert {found.state for found in ended} == {State.SUCCEEDED}, "its evaluation is begun again, too"
    assert {found.failure for found in ended} == {None}


async def test_few_looks_are_not_enough_to_call_a_job_lost(
    open_broker: Opener, rows: Rows, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_broker(steps=ENDLESS, poll_s=0.5) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        script.statuses = lambda _found: {}
        before = script.calls["poll"]
        monkeypatch.setattr("broker.scheduler.following._MISSING_GRACES", 0.0)  # as after a long sleep of the machine

        async def looked_twice() -> bool:
            return script.calls["poll"] >= before + 2

        await until(looked_twice)
        assert (await broker.job(job.id)).state is State.RUNNING


def interrupted(found: dict[str, RemoteStatus]) -> Mapping[str, RemoteStatus]:
    return {job: replace(status, state=RemoteState.INTERRUPTED, raw="interrupted") for job, status in found.items()}


async def test_a_job_that_stops_again_and_again_is_given_up(open_broker: Opener, rows: Rows, script: Script) -> None:
    async def broken(_handle: Handle) -> None:
        raise UnavailableError("its checkpoint is gone", fix="train anew")

    script.capabilities["remote"] = False
    script.statuses = interrupted
    script.before |= {"resume": broken, "events": bug}
    async with open_broker(steps=ENDLESS, poll_s=0.01) as broker:
        job = await tune(broker, rows)
        failed = await becomes(broker, job, State.FAILED)
    assert failed.failure is not None
    assert failed.failure.code == "interrupted"
    assert "its checkpoint is gone" in failed.failure.message
    assert script.calls["resume"] == 5


async def test_a_job_that_gets_further_each_time_is_started_again_each_time(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    def sometimes(found: dict[str, RemoteStatus]) -> Mapping[str, RemoteStatus]:
        return interrupted(found) if script.calls["poll"] % 2 and script.calls["poll"] < 20 else found

    script.capabilities["remote"] = False
    script.statuses = sometimes
    async with open_broker(steps=20, poll_s=0.01) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.SUCCEEDED)
    assert script.calls["resume"] > 5


async def test_events_are_read_again_after_a_restart_and_stored_once(open_broker: Opener, rows: Rows) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        async for event in broker.watch(job):
            if event.data.get("step") == 5:
                break
    async with open_broker(steps=8) as broker:
        await becomes(broker, job, State.SUCCEEDED)
        steps = [event.data["step"] for event in await broker.events(job.id) if event.kind is EventKind.PROGRESS]
    assert steps == sorted(set(steps))


async def test_an_account_that_cannot_be_opened_fails_nothing_and_is_not_tried_all_the_time(
    open_broker: Opener, rows: Rows, script: Script
) -> None:
    async with open_broker(steps=ENDLESS) as broker:
        job = await tune(broker, rows)
        await becomes(broker, job, State.RUNNING)
        waiting = await ask(broker, rows, seed=2)
    script.before["open"] = bug
    async with open_broker() as broker:

        async def told() -> bool:
            look = (await broker.job(job.id)).look
            return look is not None and look.code == "account"

        await until(told)
        assert (await broker.job(job.id)).state is State.RUNNING
        assert waiting.state is State.QUEUED


async def test_a_job_of_an_account_that_was_removed_says_so_and_can_be_cancelled(
    open_broker: Opener, rows: Rows
) -> None:
    other = {"providers": {"other": {"kind": "fake"}, "fake": {"kind": "fake"}}}
    async with open_broker(drive=False, settings=other) as broker:
        job = await tune(broker, rows, provider="other")
        unwanted = await tune(broker, rows, provider="other", seed=2)
        await broker.cancel(unwanted)
    async with open_broker() as broker:

        async def told() -> bool:
            look = (await broker.job(job.id)).look
            return look is not None and "'other' cannot be opened here" in look.message

        await until(told)
        await becomes(broker, unwanted, State.CANCELLED)


async def test_a_driver_that_breaks_leaves_its_neighbours_alone(
    open_broker: Opener, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broker.providers.fake.provider import FakeProvider

    def broken(self: Any, spec: Any) -> list[Any]:
        if spec.seed == 1:
            raise RuntimeError("a bug")
        return real(self, spec)

    async with open_broker(drive=False) as broker:
        jobs = [await tune(broker, rows, seed=seed) for seed in range(3)]
    real = FakeProvider.check
    monkeypatch.setattr(FakeProvider, "check", broken)
    async with open_broker() as broker:
        ended = await broker.wait(jobs)
    assert [job.state for job in ended] == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]


async def test_a_running_job_is_never_failed_by_a_bug(
    open_broker: Opener, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broker.scheduler.ending import Ending

    async def broken(_self: Any, _status: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Ending, "apply", broken)
        async with open_broker(steps=2) as broker:
            job = await tune(broker, rows)

            async def told() -> bool:
                look = (await broker.job(job.id)).look
                return look is not None and "a bug" in look.message

            await until(told)
            assert (await broker.job(job.id)).state is State.RUNNING
    async with open_broker(steps=2) as broker:
        await becomes(broker, job, State.SUCCEEDED)


async def test_an_evaluation_goes_on_after_a_failure_that_passes(
    open_broker: Opener, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from broker.providers.fake.provider import FakeCompleter

    calls = []

    async def dies(self: Any, requests: Any) -> Any:
        calls.append(len(requests))
        async for answer in real(self, requests):
            if len(calls) == 1 and answer.id != requests[0].id:
                raise UnavailableError("try again")
            yield answer

    real = FakeCompleter.complete
    monkeypatch.setattr("broker.scheduler.patience._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(FakeCompleter, "complete", dies)
    async with open_broker() as broker:
        job = await ask(broker, rows)
        ended = await broker.wait(experiment=job.experiment)
    assert {found.state for found in ended} == {State.SUCCEEDED}
    assert sorted(calls) == [3, 4, 4], "only what was missing is asked again"


def test_the_most_telling_error_of_a_group_is_told() -> None:
    full = StoreError("full")
    group = BaseExceptionGroup("", [KeyError("a"), ExceptionGroup("", [UnavailableError("down"), full])])
    assert telling(group) is full
    assert telling(full) is full


def test_a_dead_worker_is_read_by_its_provider() -> None:
    class Reader:
        def classify(self, error: BaseException) -> Any:
            return error

    died = WorkerError("gone", kind="died")
    provider: Any = Reader()
    assert read_error(provider, died) is died  # type: ignore[comparison-overlap]
