"""What every provider must do, as tests. Inherit, give the `case` fixture, run with pytest."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
import pytest

from broker.errors import OutcomeUnknownError, RefusedError
from broker.jobs.records import Handle
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.contract import Advice, Answer, CompletionRequest, RemoteState, RemoteStatus
from broker.testing.case import OpenCase, ProviderCase, open_case

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_ENDS = frozenset({RemoteState.SUCCEEDED, RemoteState.FAILED, RemoteState.CANCELLED})


@pytest.mark.anyio
class ProviderConformance:
    """The suite. Subclasses give the fixture `case`; tests of a facet the provider lacks are skipped by name."""

    @pytest.fixture
    def case(self) -> ProviderCase:
        """Return the provider under test."""
        raise NotImplementedError("give the fixture `case` in your subclass")

    @pytest.fixture
    async def opened(self, case: ProviderCase, tmp_path: Path) -> AsyncIterator[OpenCase]:
        """Open the provider."""
        async with open_case(case, tmp_path) as opened:
            yield opened

    # --- pure ------------------------------------------------------------------------------------------------------

    async def test_capabilities_are_steady_and_name_each_parameter_once(self, opened: OpenCase) -> None:
        """What a provider can do does not change while it is open."""
        capabilities = opened.provider.capabilities
        assert capabilities == opened.provider.capabilities
        assert capabilities.tuner or capabilities.completer
        names = [parameter.name for parameter in capabilities.parameters]
        assert len(names) == len(set(names))
        assert capabilities.poll_s > 0
        assert capabilities.grace_s >= 0

    async def test_the_defaults_pass_the_check(self, opened: OpenCase) -> None:
        """A job without parameters is a good job."""
        _needs_tuner(opened)
        problems = [problem for problem in opened.provider.check(opened.spec()) if problem.severity == "error"]
        assert problems == []

    async def test_every_problem_is_told_at_once_with_place_and_fix(self, opened: OpenCase) -> None:
        """Two wrong parameters are two problems."""
        _needs_tuner(opened)
        wrong = {"no_such_parameter": 1, "another_one": "x"}
        problems = opened.provider.check(opened.spec(parameters=wrong))
        assert len([problem for problem in problems if problem.severity == "error"]) >= len(wrong)
        assert all(problem.where and problem.what for problem in problems)
        assert all(problem.fix for problem in problems if problem.severity == "error")

    async def test_an_estimate_is_a_range_and_pure(self, opened: OpenCase) -> None:
        """The same spec has the same price."""
        _needs_tuner(opened)
        estimate = opened.provider.estimate(opened.spec())
        assert 0 <= estimate.low_usd <= estimate.high_usd
        assert estimate == opened.provider.estimate(opened.spec())
        assert opened.provider.capabilities.paid or estimate.high_usd == 0

    async def test_a_pinned_name_stays(self, opened: OpenCase) -> None:
        """Pinning twice is pinning once."""
        pinned = opened.provider.pin(opened.case.model)
        assert opened.provider.pin(pinned) == pinned

    async def test_errors_are_read(self, opened: OpenCase) -> None:
        """An unknown outcome is unknown, and nothing that was never seen is called certain."""
        verdict = opened.provider.classify(OutcomeUnknownError("the answer was lost"))
        assert verdict.advice is Advice.UNKNOWN
        strange = opened.provider.classify(RuntimeError("strange"))
        assert strange.message
        assert strange.code

    async def test_answers_have_a_price_that_is_a_range_and_pure(self, opened: OpenCase) -> None:
        """The same tokens have the same price, and more of them cost no less."""
        _needs_completer(opened)
        model = _base(opened)
        estimate = opened.provider.estimate_answers(model, 1000, 500)
        assert 0 <= estimate.low_usd <= estimate.high_usd
        assert estimate == opened.provider.estimate_answers(model, 1000, 500)
        assert estimate.high_usd <= opened.provider.estimate_answers(model, 2000, 500).high_usd
        assert opened.provider.capabilities.paid or estimate.high_usd == 0

    async def test_a_provider_that_does_not_tune_says_so(self, opened: OpenCase) -> None:
        """It has no jobs: the check tells, a submit is refused, and whoever looks finds nothing."""
        if opened.provider.capabilities.tuner:
            pytest.skip(f"{opened.case.name} tunes")
        provider, intent = opened.provider, opened.intent()
        assert any(problem.severity == "error" and problem.fix for problem in provider.check(opened.spec()))
        with pytest.raises(RefusedError):
            await provider.prepare(intent)
        with pytest.raises(RefusedError):
            await provider.submit(intent)
        assert await provider.find(intent) is None
        strange = Handle(provider=opened.case.name, id="no-such-job")
        assert dict(await provider.poll([strange])) == {}
        assert await provider.recall(strange) is None
        assert [event async for event in provider.events(strange, None)] == []
        assert await provider.checkpoints(strange) == []

    # --- tuning ----------------------------------------------------------------------------------------------------

    async def test_a_job_is_found_polled_and_succeeds(self, opened: OpenCase) -> None:
        """The whole life of a job."""
        _needs_tuner(opened)
        provider, intent = opened.provider, opened.intent()
        assert await provider.find(intent) is None
        await provider.prepare(intent)
        await provider.prepare(intent)
        handle = await provider.submit(intent)
        assert handle.provider == opened.case.name
        assert await self._found(opened, intent) == handle
        assert await provider.find(opened.intent()) is None
        status = await self._end(opened, handle)
        assert status.state is RemoteState.SUCCEEDED, status
        assert status.model is not None
        assert status.model.provider == opened.case.name
        await self._check_events(opened, handle)

    async def test_unknown_handles_are_missing_and_nothing_is_nothing(self, opened: OpenCase) -> None:
        """A poll says what it knows and no more."""
        _needs_tuner(opened)
        assert dict(await opened.provider.poll([])) == {}
        strange = Handle(provider=opened.case.name, id="no-such-job")
        assert "no-such-job" not in await opened.provider.poll([strange])

    async def test_a_cancelled_job_ends_cancelled(self, opened: OpenCase) -> None:
        """Cancelled is not failed; a job that was quicker may have succeeded."""
        _needs_tuner(opened)
        intent = opened.intent()
        await opened.provider.prepare(intent)
        handle = await opened.provider.submit(intent)
        await opened.provider.cancel(handle)
        status = await self._end(opened, handle)
        assert status.state in (RemoteState.CANCELLED, RemoteState.SUCCEEDED), status

    # --- asking ----------------------------------------------------------------------------------------------------

    async def test_every_request_gets_one_answer(self, opened: OpenCase) -> None:
        """No row is lost, and none comes twice."""
        _needs_completer(opened)
        requests = [_request(f"r{index}", f"Say something about number {index}.") for index in range(5)]
        completer = opened.provider.completer(_base(opened))
        try:
            answers = [answer async for answer in completer.complete(requests)]
            again = [answer async for answer in completer.complete(requests)]
        finally:
            await completer.aclose()
        assert sorted(answer.id for answer in answers) == [request.id for request in requests]
        assert all(answer.text or answer.failure or answer.output_tokens == 0 for answer in answers)
        if opened.case.deterministic:
            assert {a.id: a.text for a in answers} == {a.id: a.text for a in again}

    async def test_asking_may_stop_early(self, opened: OpenCase) -> None:
        """A caller who has enough closes the iterator; the completer can be asked again."""
        _needs_completer(opened)
        requests = [_request(f"r{index}", f"Say something about number {index}.") for index in range(4)]
        completer = opened.provider.completer(_base(opened))
        try:
            async with aclosing(_closable(completer.complete(requests))) as answers:
                assert (await anext(answers)).id
            left = [answer async for answer in completer.complete(requests[:1])]
        finally:
            await completer.aclose()
        assert [answer.id for answer in left] == ["r0"]

    async def test_closing_twice_is_closing_once(self, opened: OpenCase) -> None:
        """Whoever cleans up need not know who cleaned up before."""
        await opened.provider.aclose()
        await opened.provider.aclose()

    # --- parts -----------------------------------------------------------------------------------------------------

    async def _found(self, opened: OpenCase, intent: object) -> Handle | None:
        """Look until the grace time is over."""
        with anyio.move_on_after(opened.provider.capabilities.grace_s + 1):
            while True:
                found = await opened.provider.find(intent)  # type: ignore[arg-type]
                if found is not None:
                    return found
                await anyio.sleep(0.02)
        return None

    async def _end(self, opened: OpenCase, handle: Handle) -> RemoteStatus:
        with anyio.fail_after(opened.case.patience_s):
            while True:
                status = (await opened.provider.poll([handle]))[handle.id]
                assert status.raw
                if status.state in _ENDS:
                    return status
                await anyio.sleep(0.05)

    async def _check_events(self, opened: OpenCase, handle: Handle) -> None:
        events = [event async for event in opened.provider.events(handle, None)]
        ids = [event.id for event in events]
        assert len(ids) == len(set(ids))
        if ids:
            later = [event.id async for event in opened.provider.events(handle, ids[0])]
            assert later == ids[1:]


async def _closable(answers: AsyncIterator[Answer]) -> AsyncGenerator[Answer]:
    try:
        async for answer in answers:
            yield answer
    finally:
        if isinstance(answers, AsyncGenerator):
            await answers.aclose()


def _needs_tuner(opened: OpenCase) -> None:
    if not opened.provider.capabilities.tuner:
        pytest.skip(f"{opened.case.name} does not tune")


def _needs_completer(opened: OpenCase) -> None:
    if not opened.provider.capabilities.completer:
        pytest.skip(f"{opened.case.name} does not answer")


def _base(opened: OpenCase) -> ModelRef:
    return ModelRef(provider=opened.case.name, name=opened.provider.pin(opened.case.model))


def _request(identity: str, text: str) -> CompletionRequest:
    decoding = Decoding(max_tokens=16)
    return CompletionRequest(id=identity, messages=({"role": "user", "content": text},), decoding=decoding)
