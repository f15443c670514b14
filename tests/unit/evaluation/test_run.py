from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from broker.errors import RefusedError, UnavailableError, UnknownNameError
from broker.evaluation import EvaluationResult, Progress, evaluate, load_result, prompts
from broker.evaluation.answers import line_of, read_answers, stored
from broker.jobs.artifacts import Artifacts
from broker.jobs.datasets import store_dataset
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow
from broker.jobs.spec import Decoding, EvaluateSpec, ModelRef, PromptPolicy, RowFormat
from broker.providers.contract import Answer, CompletionRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio
MODEL = ModelRef(provider="fake", name="model-1")
ROWS = 10


def chat(question: str, answer: str = "It is so.", system: str | None = "Be kind.") -> ChatRow:
    head: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, "weight": 1},
    ]
    return ChatRow(messages=(*head, *turns))


class Model:
    """Answers remotely, one by one, and counts what it was asked; stops where it is told to."""

    def __init__(
        self,
        *,
        stop_after: int | None = None,
        fail: Sequence[str] = (),
        silent: Sequence[str] = (),
        ends: Mapping[str, str] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after
        self.fail = fail
        self.silent = silent
        self.ends = ends or {}

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        for count, request in enumerate(requests):
            if count == self.stop_after:
                raise UnavailableError("the line is dead")
            self.asked.append(request.id)
            if request.id in self.silent:
                continue
            if request.id in self.fail:
                yield Answer(id=request.id, failure="HTTP 500", input_tokens=5)
                continue
            await anyio.lowlevel.checkpoint()
            text = f"It is {request.messages[-1]['content']}."
            ended = self.ends.get(request.id, "stop")
            yield Answer(id=request.id, text=text, finish_reason=ended, input_tokens=5, output_tokens=3, cost_usd=0.5)

    async def aclose(self) -> None:
        pass


class Batched(Model):
    """Answers in batches of four, planned over all requests given, as a local model does."""

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        plan = sorted(requests, key=lambda request: -len(str(request.messages[-1]["content"])))
        count = 0
        for start in range(0, len(plan), 4):
            batch = plan[start : start + 4]
            for request in batch:
                if count == self.stop_after:
                    raise UnavailableError("killed")
                count += 1
                self.asked.append(request.id)
                # The text depends on the batch's other rows, as in bf16.
                yield Answer(id=request.id, text="+".join(r.id for r in batch), output_tokens=1, batch=start // 4)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def spec(artifacts: Artifacts) -> EvaluateSpec:
    rows = tuple(chat(" ".join(["what"] * (i + 1))) for i in range(ROWS))
    ref = store_dataset(Dataset(name="val.jsonl", format=RowFormat.CHAT, rows=rows), artifacts)
    return EvaluateSpec(provider="fake", validation=ref, metrics=("conversational", "length"))


async def run(spec: EvaluateSpec, artifacts: Artifacts, folder: Path, model: Model, **more: object) -> EvaluationResult:
    return await evaluate(
        "eval-1",
        spec,
        model=MODEL,
        completer=model,
        artifacts=artifacts,
        folder=folder,
        **more,  # type: ignore[arg-type]
    )


def texts(folder: Path, spec: EvaluateSpec) -> dict[str, str]:
    return {id_: answer.text for id_, answer in read_answers(folder, spec, MODEL).answers.items()}


async def test_every_row_is_asked_once_and_scored(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    model, seen = Model(), list[Progress]()
    result = await run(spec, artifacts, tmp_path / "e", model, on_progress=seen.append)
    assert model.asked == [str(i) for i in range(ROWS)]
    assert (result.n, result.failed, result.cost_usd, result.output_tokens) == (ROWS, 0, 5.0, 30)
    assert list(result.metrics) == ["conversational", "length"]
    assert result.metrics["length"].values == tuple(float(2 + i + 1) for i in range(ROWS))
    assert seen[0] == Progress(done=0, total=ROWS, failed=0, tokens=0)
    assert seen[-1] == Progress(done=ROWS, total=ROWS, failed=0, tokens=30)


async def test_answers_that_ended_strangely_are_counted(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    result = await run(spec, artifacts, tmp_path / "e", Model(ends={"1": "tool_calls", "2": "refusal", "3": "length"}))
    assert (result.endings, result.cut, result.failed) == ({"tool_calls": 1, "refusal": 1}, 1, 0)


async def test_scores_are_read_back_equal(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    result = await run(spec, artifacts, tmp_path / "e", Model(fail=["3"]))
    assert load_result(tmp_path / "e") == result
    assert json.loads((tmp_path / "e" / "scores.json").read_text())["format"] == 1
    assert load_result(tmp_path / "nowhere") is None


async def test_conditions_are_recorded(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    spec = replace(spec, policy=PromptPolicy(name="concise", system="Be brief."), decoding=Decoding(max_tokens=7))
    conditions = (await run(spec, artifacts, tmp_path / "e", Model())).conditions
    assert conditions["validation_sha256"] == spec.validation.sha256
    assert (conditions["policy"], conditions["system"]) == ("concise", "Be brief.")
    assert conditions["decoding"]["max_tokens"] == 7
    assert conditions["encoder"] is None


async def test_restarted_it_asks_only_what_is_missing(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    first, second, third = Model(stop_after=4), Model(), Model()
    with pytest.raises(UnavailableError):
        await run(spec, artifacts, tmp_path / "e", first)
    result = await run(spec, artifacts, tmp_path / "e", second)
    assert first.asked + second.asked == [str(i) for i in range(ROWS)]
    assert result.cost_usd == 5.0
    again = await run(spec, artifacts, tmp_path / "e", third)
    assert third.asked == []
    assert again == result


async def test_cancelled_it_keeps_what_came(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    first, second = Model(), Model()
    with anyio.CancelScope() as scope:

        def stop(progress: Progress) -> None:
            if progress.done == 3:
                scope.cancel()

        await run(spec, artifacts, tmp_path / "e", first, on_progress=stop)
    assert scope.cancelled_caught
    await run(spec, artifacts, tmp_path / "e", second)
    assert second.asked == [str(i) for i in range(3, ROWS)]


@pytest.mark.parametrize("stop_after", range(ROWS))
async def test_an_incomplete_local_batch_is_made_again_whole(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path, stop_after: int
) -> None:
    await run(spec, artifacts, tmp_path / "whole", Batched())
    with pytest.raises(UnavailableError):
        await run(spec, artifacts, tmp_path / "cut", Batched(stop_after=stop_after))
    rest = Batched()
    await run(spec, artifacts, tmp_path / "cut", rest)
    assert texts(tmp_path / "cut", spec) == texts(tmp_path / "whole", spec)
    assert len(rest.asked) <= ROWS - (stop_after - 1) // 4 * 4


async def test_a_batch_that_is_whole_is_not_made_again_after_a_second_stop(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await run(spec, artifacts, tmp_path / "e", Batched(stop_after=5))
    rest = Batched()
    await run(spec, artifacts, tmp_path / "e", rest)
    assert len(rest.asked) == ROWS - 2 * 4


async def test_a_torn_tail_is_asked_again(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    await run(spec, artifacts, tmp_path / "e", Model())
    file = tmp_path / "e" / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    model = Model()
    await run(spec, artifacts, tmp_path / "e", model)
    assert model.asked == ["9"]


async def test_a_failed_row_is_a_counted_failure(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    result = await run(spec, artifacts, tmp_path / "e", Model(fail=["2", "5"]))
    assert (result.n, result.failed, result.failures) == (ROWS, 2, {"HTTP 500": 2})
    length = result.metrics["length"]
    assert length.values[2] is None
    assert length.scored == 8
    assert length.value == pytest.approx(sum(2 + i + 1 for i in range(ROWS) if i not in (2, 5)) / 8)


async def test_when_every_row_fails_the_evaluation_fails(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    every = [str(i) for i in range(ROWS)]
    with pytest.raises(RefusedError, match=r"none of 10 prompts .* HTTP 500"):
        await run(spec, artifacts, tmp_path / "e", Model(fail=every))
    assert load_result(tmp_path / "e") is None
    again = Model()
    await run(spec, artifacts, tmp_path / "e", again, retry_failed=True)
    assert again.asked == every


async def test_failed_rows_are_asked_again_on_demand(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    await run(spec, artifacts, tmp_path / "e", Model(fail=["2", "5"]))
    still, again = Model(), Model()
    assert (await run(spec, artifacts, tmp_path / "e", still)).failed == 2
    assert still.asked == []
    assert (await run(spec, artifacts, tmp_path / "e", again, retry_failed=True)).failed == 0
    assert again.asked == ["2", "5"]


async def test_a_row_that_fails_again_ends(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    await run(spec, artifacts, tmp_path / "e", Model(fail=["2"]))
    model = Model(fail=["2"])
    assert (await run(spec, artifacts, tmp_path / "e", model, retry_failed=True)).failed == 1
    assert model.asked == ["2"]


@pytest.mark.parametrize("kind", [Model, Batched])
async def test_a_row_without_any_answer_is_a_failure(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path, kind: type[Model]
) -> None:
    model = Model(silent=["4"])
    result = await run(spec, artifacts, tmp_path / "e", model)
    assert (result.failed, result.failures) == (1, {"the provider gave no answer for this row": 1})
    assert model.asked.count("4") == 2


async def test_a_provider_that_says_nothing_at_all_is_at_fault(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="without giving one"):
        await run(spec, artifacts, tmp_path / "e", Model(silent=[str(i) for i in range(ROWS)]))


async def test_answers_of_another_question_do_not_count(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    await run(spec, artifacts, tmp_path / "e", Model())
    hotter = Model()
    await run(replace(spec, decoding=Decoding(temperature=1.0)), artifacts, tmp_path / "e", hotter)
    assert len(hotter.asked) == ROWS
    back = Model()
    await run(spec, artifacts, tmp_path / "e", back)
    assert back.asked == []


async def test_an_unknown_metric_is_refused_before_anything_is_asked(
    spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path
) -> None:
    model = Model()
    with pytest.raises(UnknownNameError):
        await run(replace(spec, metrics=("nonsense",)), artifacts, tmp_path / "e", model)
    assert model.asked == []


async def test_refused_outright(spec: EvaluateSpec, artifacts: Artifacts, tmp_path: Path) -> None:
    class Refusing(Model):
        async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
            raise RefusedError("no such model")
            yield Answer(id="0")

    with pytest.raises(RefusedError):
        await run(spec, artifacts, tmp_path / "e", Refusing())


def roles(request: CompletionRequest) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.messages]


def test_prompts_keep_each_rows_own_system_message() -> None:
    dataset = Dataset(name="v", format=RowFormat.CHAT, rows=(chat("a"), chat("b", system=None)))
    one, two = prompts(dataset, PromptPolicy())
    assert roles(one) == [("system", "Be kind."), ("user", "a")]
    assert roles(two) == [("user", "b")]
    assert (one.id, two.id) == ("0", "1")


def test_a_policy_replaces_adds_or_removes_the_system_message() -> None:
    dataset = Dataset(name="v", format=RowFormat.CHAT, rows=(chat("a"), chat("b", system=None)))
    concise = prompts(dataset, PromptPolicy(name="concise", system="Be brief."))
    assert [roles(request)[0] for request in concise] == [("system", "Be brief.")] * 2
    bare = prompts(dataset, PromptPolicy(name="bare", system=""))
    assert [roles(request) for request in bare] == [[("user", "a")], [("user", "b")]]


def test_prompts_hold_no_training_keys() -> None:
    turns = ({"role": "user", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"})
    request = prompts(Dataset(name="v", format=RowFormat.CHAT, rows=(ChatRow(messages=turns),)))[0]
    assert request.messages == ({"role": "user", "content": "a"},)


def test_prompts_of_preference_rows() -> None:
    row = PreferenceRow(
        messages=({"role": "user", "content": "a"},),
        preferred=({"role": "assistant", "content": "good"},),
        non_preferred=({"role": "assistant", "content": "bad"},),
    )
    request = prompts(Dataset(name="v", format=RowFormat.PREFERENCE, rows=(row,)), decoding=Decoding(seed=3))[0]
    assert roles(request) == [("user", "a")]
    assert request.decoding.seed == 3


def test_the_seconds_of_a_local_model_are_those_of_its_batches() -> None:
    def line(id_: str, elapsed_s: float, batch: int | None, latency_s: float, session: int = 0) -> dict[str, Any]:
        answer = Answer(id=id_, text="yes", batch=batch, latency_s=latency_s)
        return line_of(answer, asked="q", session=session, elapsed_s=elapsed_s)

    # Another model was asked between the two batches; the second session asked a provider that has no batches.
    local = [line("0", 4.0, 0, 2.5), line("1", 4.0, 0, 3.0), line("2", 20.0, 1, 2.0)]
    assert stored(local, "q").seconds == 5.0
    assert stored([*local, line("3", 7.0, None, 1.5, session=1)], "q").seconds == 12.0
    assert stored([], "q").seconds == 0
