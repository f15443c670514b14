"""Evaluations with a judge: planned, priced, judged by the real SDK over a loopback server, shown in the table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from broker.api import Broker, ExperimentRequest, JudgeRequest, ModelRequest, load_recipe
from broker.api.judges import named_judge
from broker.errors import SpecError
from broker.evaluation import load_result
from broker.evaluation.judging.asking import JUDGEMENTS
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import EvaluateSpec
from broker.jobs.states import State
from broker.results import to_data
from broker.scheduler.evaluating import evaluation_folder
from broker.settings import load_settings
from broker.settings.files import rooted_metric
from tests.fakes.openai_server import Running, running
from tests.fakes.openai_server.faults import Rule

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from broker.jobs.records import Job

pytestmark = pytest.mark.anyio
Opener = Callable[..., AbstractAsyncContextManager[Broker]]
ROWS, SAMPLES = 4, 2


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def open_judged(open_broker: Opener, server: Running) -> Opener:
    """Open a broker whose account `judge` is the loopback server."""
    server.clear()
    account = {
        "kind": "openai", "base_url": server.base_url, "api_key": "sk-test", "model": "gpt-4.1-mini",
        "options": {"paid": True},
    }  # fmt: skip

    @asynccontextmanager
    async def opener(**more: Any) -> AsyncGenerator[Broker]:
        settings = {"providers": {"fake": {"kind": "fake"}, "judge": account}, **more.pop("settings", {})}
        async with open_broker(settings=settings, **more) as broker:
            yield broker

    return opener


def request(rows: dict[str, Path], *metrics: str, judge: JudgeRequest | None = None) -> ExperimentRequest:
    return ExperimentRequest(
        name="judged",
        validation=str(rows["validation"]),
        models=(ModelRequest(provider="fake", model="fake-base"),),
        metrics=metrics or ("judge:empathy", "judge:relevance", "length"),
        judge=judge or JudgeRequest(provider="judge", samples=SAMPLES),
    )


async def judged(broker: Broker, wanted: ExperimentRequest) -> Job:
    (job,) = await broker.start(await broker.plan(wanted))
    (ended,) = await broker.wait(job.id)
    return ended


def asked(server: Running) -> list[dict[str, Any]]:
    return [body for body in server.state.bodies if "Task: judge" in str(body["messages"])]


async def test_judged_by_the_sdk(open_judged: Opener, rows: dict[str, Path], server: Running) -> None:
    async with open_judged() as broker:
        job = await judged(broker, request(rows))
        assert job.state is State.SUCCEEDED
        result = load_result(evaluation_folder(broker.data_dir, job.id))
        table = await broker.results("judged")
    assert result is not None
    calls = asked(server)
    assert len(calls) == 2 * ROWS * SAMPLES
    assert {call["model"] for call in calls} == {"gpt-4.1-mini-2025-04-14"}
    assert sorted({call["seed"] for call in calls}) == [0, 1]
    assert all(call["response_format"]["json_schema"]["strict"] for call in calls)
    assert list(result.metrics) == ["judge:empathy", "judge:relevance", "length"]
    empathy = result.metrics["judge:empathy"]
    assert (empathy.scored, empathy.label) == (ROWS, "empathy (0–10)")
    assert all(value is not None and 0 <= value <= 10 for value in empathy.values)
    assert result.judge_cost_usd > 0
    assert result.cost_usd == pytest.approx(result.judge_cost_usd)
    assert job.cost_usd == pytest.approx(result.cost_usd)
    assert result.conditions["judge"] == {
        "model": "judge:gpt-4.1-mini-2025-04-14", "samples": 2, "temperature": 1.0, "max_tokens": 512, "seed": 0,
    }  # fmt: skip
    said = "\n".join(table.notes)
    assert "judged by judge:gpt-4.1-mini-2025-04-14, 2 samples at temperature 1" in said
    assert "empathy: judgements a row 2; share of rows judged alike" in said
    assert "are the judge's" in said
    data = to_data(table)["rows"][0]
    assert data["judge_cost_usd"] > 0
    assert data["metrics"]["judge:empathy"]["details"]["judgements a row"] == 2


async def test_the_plan_prices_the_judge(open_judged: Opener, rows: dict[str, Path]) -> None:
    async with open_judged(drive=False) as broker:
        plan = await broker.plan(request(rows))
        bare = await broker.plan(request(rows, "length"))
        again = await broker.plan(request(rows, judge=JudgeRequest(provider="judge", samples=4)))
    (planned,) = plan.jobs
    assert plan.paid
    assert not bare.paid
    assert 0 < plan.low_usd < plan.high_usd == planned.job.reserved_usd
    assert f"judge judge:gpt-4.1-mini-2025-04-14: {2 * ROWS * SAMPLES} judgements" in planned.estimate.basis
    assert again.high_usd == pytest.approx(2 * plan.high_usd, rel=0.01)


async def test_the_estimate_holds(open_judged: Opener, rows: dict[str, Path]) -> None:
    async with open_judged() as broker:
        plan = await broker.plan(request(rows))
        job = await judged(broker, request(rows))
    assert job.cost_usd is not None
    assert plan.low_usd * 0.5 < job.cost_usd < plan.high_usd


async def test_a_judge_that_is_away_for_a_while_is_asked_again_and_pays_nothing_twice(
    open_judged: Opener, rows: dict[str, Path], server: Running
) -> None:
    server.state.rules.append(Rule(call="POST /chat/completions", fault="503_before", nth=[4, 5, 6]))
    async with open_judged() as broker:
        job = await judged(broker, request(rows))
        lines = RowFile(evaluation_folder(broker.data_dir, job.id) / JUDGEMENTS).read()
    assert job.state is State.SUCCEEDED
    assert len({line["key"] for line in lines}) == 2 * ROWS * SAMPLES
    prompts = [(call["messages"][-1]["content"], call["seed"]) for call in asked(server)]
    assert len(prompts) == len(set(prompts)) == 2 * ROWS * SAMPLES


async def test_a_judge_whose_key_is_wrong_costs_its_columns_only(
    open_judged: Opener, rows: dict[str, Path], server: Running
) -> None:
    server.state.habits.key = "another"
    async with open_judged() as broker:
        job = await judged(broker, request(rows))
        table = await broker.results("judged")
    assert job.state is State.SUCCEEDED
    (row,) = table.rows
    assert row.cells["length"].value is not None
    assert "Incorrect API key" in (row.cells["judge:empathy"].failure or "")


async def test_the_offline_writer_judges(open_broker: Opener, rows: dict[str, Path]) -> None:
    async with open_broker() as broker:
        wanted = request(rows, "judge:empathy", judge=JudgeRequest(provider="local", model="sandbox-writer"))
        plan = await broker.plan(wanted)
        job = await judged(broker, wanted)
        result = load_result(evaluation_folder(broker.data_dir, job.id))
    assert not plan.paid
    assert result is not None
    assert (result.metrics["judge:empathy"].scored, result.cost_usd) == (ROWS, 0.0)


async def test_the_settings_name_the_judge(open_judged: Opener, rows: dict[str, Path]) -> None:
    usual = {"defaults": {"judge": {"provider": "local", "model": "sandbox-writer", "samples": 5, "temperature": 0.3}}}
    async with open_judged(drive=False, settings=usual) as broker:
        (plain,) = (await broker.plan(request(rows, judge=JudgeRequest()))).jobs
        (other,) = (await broker.plan(request(rows, judge=JudgeRequest(provider="judge")))).jobs
        (none,) = (await broker.plan(request(rows, "length"))).jobs
    specs = [planned.job.spec for planned in (plain, other, none)]
    assert all(isinstance(spec, EvaluateSpec) for spec in specs)
    judges = [spec.judge for spec in specs if isinstance(spec, EvaluateSpec)]
    assert [(one.label, one.samples, one.temperature) for one in judges if one] == [
        ("local:sandbox-writer", 5, 0.3),
        ("judge:gpt-4.1-mini-2025-04-14", 5, 0.3),
    ]
    assert judges[2] is None


async def test_a_metric_of_a_judge_without_one_is_refused_before_anything_is_stored(
    open_broker: Opener, rows: dict[str, Path]
) -> None:
    async with open_broker(drive=False) as broker:
        with pytest.raises(SpecError, match="--judge PROVIDER:MODEL"):
            await broker.plan(request(rows, judge=JudgeRequest()))
        with pytest.raises(SpecError, match="did you mean judge:empathy"):
            await broker.plan(request(rows, "judge:empaty", judge=JudgeRequest()))


async def test_a_recipes_rubric_is_kept_with_the_job(
    open_judged: Opener, rows: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "warmth.toml").write_text('name = "warmth"\ndescription = "Is it warm?"\nlow = 1\nhigh = 5\n')
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "judged"\nvalidation = "{rows["validation"]}"\nmetrics = ["judge:warmth.toml"]\n'
        '[judge]\nprovider = "judge"\nmodel = "gpt-4.1-mini"\nsamples = 1\ntemperature = 0.5\n'
        '[[models]]\nprovider = "fake"\nmodel = "fake-base"\n'
    )
    async with open_judged() as broker:
        wanted = load_recipe(recipe).request()
        (job,) = await broker.start(await broker.plan(wanted))
        (tmp_path / "warmth.toml").unlink()
        await broker.wait(job)
        table = await broker.results("judged")
    assert isinstance(job.spec, EvaluateSpec)
    assert job.spec.metrics == ("judge:warmth",)
    assert job.spec.judge is not None
    assert [rubric.name for rubric in job.spec.judge.rubrics] == ["warmth"]
    assert [column.label for column in table.columns] == ["warmth (1–5)"]
    assert table.rows[0].cells["judge:warmth"].failure is None


async def test_the_same_evaluation_is_not_made_twice(open_judged: Opener, rows: dict[str, Path]) -> None:
    async with open_judged() as broker:
        job = await judged(broker, request(rows))
        plan = await broker.plan(request(rows))
        more = await broker.plan(request(rows, judge=JudgeRequest(provider="judge", samples=3)))
    assert [one.id for one in plan.reused] == [job.id]
    assert len(more.jobs) == 1


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("openai:gpt-4.1-mini", "openai", "gpt-4.1-mini"),
        ("openai", "openai", None),
        ("openai:ft:gpt-4o-mini:org::abc", "openai", "ft:gpt-4o-mini:org::abc"),
        ("openai@http://127.0.0.1:8100/v1:sandbox", "openai@http://127.0.0.1:8100/v1", "sandbox"),
        ("openai@http://127.0.0.1:8100/v1", "openai@http://127.0.0.1:8100/v1", None),
        ("http://127.0.0.1:8100/v1#sandbox", "http://127.0.0.1:8100/v1", "sandbox"),
        ("openai+batch:gpt-4.1-mini", "openai+batch", "gpt-4.1-mini"),
    ],
)
def test_a_judge_as_typed(text: str, provider: str, model: str | None) -> None:
    assert named_judge(text, 5) == JudgeRequest(provider=provider, model=model, samples=5)


def test_no_judge_as_typed() -> None:
    assert named_judge(None) is None
    assert named_judge(None, 5) == JudgeRequest(samples=5)


def test_paths_of_rubrics_begin_at_the_recipe(tmp_path: Path) -> None:
    assert rooted_metric("judge:r/x.toml", tmp_path) == f"judge:{tmp_path / 'r' / 'x.toml'}"
    assert rooted_metric("judge:empathy", tmp_path) == "judge:empathy"
    assert rooted_metric("conversational:70", tmp_path) == "conversational:70"


def test_paths_of_rubrics_begin_at_the_settings_file(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('[defaults]\nmetrics = ["length", "judge:x.toml", "judge:empathy"]\n')
    assert load_settings(config=config).defaults.metrics == ("length", f"judge:{tmp_path / 'x.toml'}", "judge:empathy")
