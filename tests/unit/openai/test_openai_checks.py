"""What is found before anything is sent; prices; pinning; what an account announces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import MissingCredentialError, Problem
from broker.jobs.spec import Method, ModelRef, RowFormat
from broker.providers.openai_tuning import checks
from broker.settings import Account

if TYPE_CHECKING:
    from tests.unit.openai.conftest import Desk, OpenDesk

pytestmark = pytest.mark.anyio
OFFICIAL = {"base_url": "https://api.openai.com/v1"}


def errors(problems: list[Problem]) -> list[str]:
    return [problem.where for problem in problems if problem.severity == "error"]


async def test_all_problems_come_at_once_with_place_and_fix(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        spec = desk.spec(
            train=desk.data(rows=3),
            suffix="x" * 65,
            seed=-1,
            metadata={"k" * 65: "v", "long": "v" * 513, "broker_intent": "mine", **{str(n): "" for n in range(15)}},
            parameters={"n_epochs": 51, "batch_size": 0, "learning_rate_multiplier": 0, "beta": 0.1, "wandb_name": "x"},
        )
        problems = desk.provider.check(spec)
        wheres = ["train.jsonl", "--suffix", "--seed", "--beta", "--n-epochs", "--batch-size", "--wandb-project"]
        assert {*wheres, "--learning-rate-multiplier", "metadata"} == set(errors(problems))
        assert errors(problems).count("metadata") == 4
        assert all(problem.fix for problem in problems)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"suffix": ""}, "--suffix"),
        ({"seed": 2_147_483_648}, "--seed"),
        ({"parameters": {"beta": 2.1}, "method": Method.DPO}, "--beta"),
        ({"parameters": {"epochs": 1}}, "--epochs"),
    ],
)
async def test_bounds_of_the_specification(open_desk: OpenDesk, changes: dict[str, Any], where: str) -> None:
    async with open_desk() as desk:
        assert errors(desk.provider.check(desk.spec(**changes))) == [where]


async def test_good_bounds_pass(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        parameters = {"n_epochs": 50, "batch_size": 256, "learning_rate_multiplier": 0.01}
        spec = desk.spec(
            suffix="x" * 64, seed=2_147_483_647, parameters=parameters, metadata={str(n): "v" * 512 for n in range(15)}
        )
        assert desk.provider.check(spec) == []


async def test_rows_must_fit_the_method_and_the_file_the_limit(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        wrong = desk.spec(method=Method.DPO, train=desk.data())
        assert errors(desk.provider.check(wrong)) == ["train.jsonl"]
        wrong = desk.spec(train=desk.data(format=RowFormat.PREFERENCE))
        assert errors(desk.provider.check(wrong)) == ["train.jsonl"]
        big = replace(desk.data(), bytes=512 * 1024 * 1024 + 1)
        assert errors(desk.provider.check(desk.spec(train=big))) == ["train.jsonl"]
        long = replace(desk.data(), longest_tokens=70_000)
        (warning,) = desk.provider.check(desk.spec(train=long))
        assert (warning.severity, "65,536" in warning.what) == ("warning", True)


async def test_dates_are_told_for_the_official_service_only(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import date

    monkeypatch.setattr(checks, "today", lambda: date(2026, 11, 20))
    async with open_desk(**OFFICIAL) as desk:
        whats = " ".join(problem.what for problem in desk.provider.check(desk.spec()))
        assert "2027-01-14" in whats
        assert "2027-01-06" in whats
        gone = desk.provider.check(desk.spec(model="gpt-3.5-turbo-0125"))
        assert "--model" in errors(gone)
        assert errors(desk.provider.check_model(ModelRef(provider="openai", name="ft:gpt-3.5-turbo-0125:o::x"))) == [
            "--model"
        ]
        assert "--model" in errors(desk.provider.check(desk.spec(model="gpt-6-luna")))
    async with open_desk() as desk:
        assert desk.provider.check(desk.spec(model="gpt-3.5-turbo-0125")) == []


async def test_a_missing_key_is_a_problem_at_openai_and_none_elsewhere(open_desk: OpenDesk) -> None:
    async with open_desk(api_key=None, **OFFICIAL) as desk:
        assert "OPENAI_API_KEY" in errors(desk.provider.check(desk.spec()))
        with pytest.raises(MissingCredentialError):
            await desk.provider.prepare(desk.intent())
    async with open_desk(api_key=None) as desk:
        assert desk.provider.check(desk.spec()) == []
        await desk.create(desk.intent())


async def test_names_are_pinned_and_the_default_is_gpt_4o_mini(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        assert desk.provider.pin("gpt-4o-mini") == "gpt-4o-mini-2024-07-18"
        assert desk.provider.pin("gpt-4.1-mini") == "gpt-4.1-mini-2025-04-14"
        assert desk.provider.pin("meta-llama/Llama-3.2-1B-Instruct") == "meta-llama/Llama-3.2-1B-Instruct"
        assert desk.provider.pin(desk.provider.capabilities.default_model) == "gpt-4o-mini-2024-07-18"


async def test_prices_are_the_catalogs_where_the_service_is_paid(open_desk: OpenDesk) -> None:
    async with open_desk(**OFFICIAL) as desk:
        assert desk.provider.capabilities.paid
        train = replace(desk.data(), tokens=1_000_000)
        estimate = desk.provider.estimate(desk.spec(train=train, parameters={"n_epochs": 5}))
        assert estimate.low_usd == pytest.approx(15.0)
        assert estimate.high_usd >= estimate.low_usd
        assert "training 3" in estimate.basis[0]
        auto = desk.provider.estimate(desk.spec(train=train))
        assert auto.low_usd < auto.high_usd
        tuned = ModelRef(provider="openai", name="ft:gpt-4o-mini-2024-07-18:o::x")
        assert desk.provider.estimate_answers(tuned, 1_000_000, 1_000_000).low_usd == pytest.approx(1.5)
    async with open_desk(batch=True, **OFFICIAL) as desk:
        assert desk.provider.estimate_answers(tuned, 1_000_000, 1_000_000).low_usd == pytest.approx(0.75)


async def test_a_server_on_this_machine_costs_nothing(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        assert not desk.provider.capabilities.paid
        assert desk.provider.estimate(desk.spec()).high_usd == 0
        handle = await desk.create(desk.intent())
        statuses = [(await desk.provider.poll([handle]))[handle.id] for _ in range(3)]
        assert statuses[-1].cost_usd == 0
    async with open_desk(paid=True) as desk:
        handle = await desk.create(desk.intent())
        statuses = [(await desk.provider.poll([handle]))[handle.id] for _ in range(3)]
        assert statuses[-1].cost_usd == pytest.approx(3.0)


async def test_organization_and_project_come_from_the_account_alone(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody-else")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-somebody-else")
    async with open_desk(organization="org-mine", project="proj-mine") as desk:
        assert headers(desk) == ("org-mine", "proj-mine")
    async with open_desk() as desk:
        assert headers(desk) == (None, None)


def headers(desk: Desk) -> tuple[str | None, str | None]:
    client = desk.provider._connection.client  # the SDK's client is what sends them  # pyright: ignore[reportPrivateUsage]
    return client.organization, client.project


def test_an_account_of_this_kind_may_have_any_name() -> None:
    assert Account(kind="openai", name="nebius", base_url="https://api.example.org/v1").kind == "openai"
