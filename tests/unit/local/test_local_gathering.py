"""Models of one base that are asked at the same time: served together, and nobody notices the others."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from broker.errors import WorkerError
from broker.jobs.spec import Decoding, ModelRef
from broker.providers.contract import Answer, CompletionRequest
from tests.fakes.local_desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio
Said = dict[str, tuple[str, int | None]]
ROWS = 20


@dataclass
class Hall:
    """A desk with a base and two adapters, and a count of the calls of the torch process."""

    desk: Desk
    models: dict[str, ModelRef]
    calls: list[dict[str, Any]]

    async def ask(self, name: str, *, after: Callable[[Answer], Awaitable[bool]] | None = None) -> Said:
        """Ask a model; stop where `after` an answer says so."""
        said: Said = {}
        completer = self.desk.provider.completer(self.models[name])
        async with aclosing(cast("AsyncGenerator[Answer, None]", completer.complete(requests()))) as answers:
            async for answer in answers:
                assert answer.failure is None
                said[answer.id] = (answer.text, answer.batch)
                if after is not None and await after(answer):
                    break
        return said

    async def ask_all(self, names: list[str], **after: Callable[[Answer], Awaitable[bool]]) -> dict[str, Said]:
        found: dict[str, Said] = {}

        async def one(name: str) -> None:
            found[name] = await self.ask(name, after=after.get(name))

        with anyio.fail_after(90):
            async with anyio.create_task_group() as tasks:
                for name in names:
                    tasks.start_soon(one, name)
        return found


def requests() -> list[CompletionRequest]:
    decoding = Decoding(temperature=0.8, max_tokens=12)
    return [
        CompletionRequest(
            id=str(n), messages=({"role": "user", "content": f"What is {'a lamp' * (n % 3)} {n}?"},), decoding=decoding
        )
        for n in range(ROWS)
    ]


@pytest.fixture(scope="module")
async def hall(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hall]:
    async with open_desk(tmp_path_factory.mktemp("gathering"), tiny, answer_batch_size=4) as desk:
        base = ModelRef(provider="local", name=str(tiny), precision="bf16")
        models = {"base": base, "other": replace(base, precision="fp32")}
        for name, seed in (("one", 1), ("two", 2)):
            handle = await desk.provider.submit(desk.intent(seed=seed, parameters={"epochs": 6}))
            status = await desk.until(handle)
            assert status.model is not None
            models[name] = replace(status.model, precision="bf16")
        calls: list[dict[str, Any]] = []
        call = desk.workers.call

        async def counting(op: str, args: Any, **more: Any) -> Any:
            calls.append(args)
            return await call(op, args, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.workers, "call", counting)
            yield Hall(desk, models, calls)


@pytest.fixture(scope="module")
async def alone(hall: Hall) -> dict[str, Said]:
    return {name: await hall.ask(name) for name in hall.models}


async def test_one_call_serves_all_of_a_base(hall: Hall, alone: dict[str, Said]) -> None:
    assert len({str(said) for said in alone.values()}) == 4
    hall.calls.clear()
    found = await hall.ask_all(["base", "one", "two", "one"])
    assert found == {name: alone[name] for name in found}
    assert [len(args["sets"]) for args in hall.calls] == [4]


async def test_another_base_has_a_call_of_its_own(hall: Hall, alone: dict[str, Said]) -> None:
    hall.calls.clear()
    found = await hall.ask_all(["one", "other", "two"])
    assert found == {name: alone[name] for name in found}
    assert sorted(len(args["sets"]) for args in hall.calls) == [1, 2]


async def test_who_leaves_disturbs_nobody(hall: Hall, alone: dict[str, Said]) -> None:
    async def enough(answer: Answer) -> bool:
        return answer.batch == 1

    hall.calls.clear()
    found = await hall.ask_all(["base", "one", "two"], one=enough)
    assert found["base"] == alone["base"] and found["two"] == alone["two"]
    assert len(found["one"]) < ROWS and found["one"].items() <= alone["one"].items()
    assert len(hall.calls) == 1


async def test_who_comes_later_is_let_in(hall: Hall, alone: dict[str, Said]) -> None:
    found: dict[str, Said] = {}
    hall.calls.clear()
    async with anyio.create_task_group() as tasks:

        async def late() -> None:
            found["two"] = await hall.ask("two")

        async def call(answer: Answer) -> bool:
            if answer.id not in found and "called" not in found:
                found["called"] = {}
                tasks.start_soon(late)
            return False

        found["one"] = await hall.ask("one", after=call)
    assert found["one"] == alone["one"] and found["two"] == alone["two"]
    assert len(hall.calls) <= 2  # the second, when the first was about to end


async def test_a_killed_process_is_begun_again_for_all(hall: Hall, alone: dict[str, Said]) -> None:
    killed: list[int] = []

    async def kill(answer: Answer) -> bool:
        if answer.batch == 1 and not killed:
            killed.append(hall.desk.workers.pids()["device"])
            os.kill(killed[0], signal.SIGKILL)
        return False

    hall.calls.clear()
    found = await hall.ask_all(["base", "one", "two"], base=kill)
    assert killed
    assert {name: texts(said) for name, said in found.items()} == {name: texts(alone[name]) for name in found}
    assert len(hall.calls) == 2


def texts(said: Said) -> dict[str, str]:
    return {id_: text for id_, (text, _) in said.items()}


async def test_a_broken_adapter_is_told_to_its_asker_alone(hall: Hall, alone: dict[str, Said], tmp_path: Path) -> None:
    hall.models["broken"] = replace(hall.models["one"], adapter=str(tmp_path))
    failures: list[WorkerError] = []
    found: dict[str, Said] = {}

    async def broken() -> None:
        try:
            await hall.ask("broken")
        except WorkerError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broken)
        found = await hall.ask_all(["base", "two"])
    assert found == {name: alone[name] for name in found}
    assert [error.kind for error in failures] == ["no_adapter"]


async def test_when_the_call_itself_fails_each_is_told(hall: Hall, tmp_path: Path) -> None:
    empty = replace(hall.models["base"], name=str(tmp_path))
    hall.models |= {"empty": empty, "empty too": replace(empty, adapter=str(tmp_path))}
    kinds: list[str] = []

    async def ask(name: str) -> None:
        try:
            await hall.ask(name)
        except WorkerError as error:
            kinds.append(error.kind)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "empty")
            tasks.start_soon(ask, "empty too")
    assert kinds == ["no_tokenizer", "no_tokenizer"]


async def test_a_process_that_dies_again_and_again_is_given_up(hall: Hall) -> None:
    died: list[WorkerError] = []
    call: Any = hall.desk.workers.call

    async def dying(op: str, args: Any, **more: Any) -> Any:
        def hear(event: dict[str, Any]) -> None:
            if event["kind"] == "answers":
                os.kill(hall.desk.workers.pids()["device"], signal.SIGKILL)

        return await call(op, {**args, "batch_size": 2}, **{**more, "on_event": hear})

    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(90):
        patch.setattr(hall.desk.workers, "call", dying)
        try:
            await hall.ask("base")
        except WorkerError as error:
            died.append(error)
    assert [error.kind for error in died] == ["died"]
