from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.cli.follow import progress_words
from broker.cli.words import cost_words, dollars, duration, job_title, number, since, spell_seconds, spread, state_words
from broker.jobs.records import Failure, Job, Wish
from broker.jobs.spec import DatasetRef, EvaluateSpec, ModelRef, RowFormat, Spec, SynthesizeSpec, TuneSpec, kind_of
from broker.jobs.states import State

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DATA = DatasetRef(sha256="a" * 64, name="t", format=RowFormat.CHAT, rows=3, bytes=9, tokens=9, longest_tokens=3)
TUNE = TuneSpec(provider="local", model="sandbox", train=DATA, parameters={"precision": "int8"})
ASK = EvaluateSpec(provider="openai", validation=DATA, model=ModelRef(provider="openai", name="gpt-4o"))
SYNTHESIZE = SynthesizeSpec(
    provider="gemini", model="m", pipeline="qa", source="a", source_name="s", rows=1, output="o"
)
LOOK = Failure(code="x", message="m")


def job(spec: Spec = TUNE, state: State = State.RUNNING, **fields: Any) -> Job:
    return Job(
        id="tune-1",
        kind=kind_of(spec),
        experiment="e",
        spec=spec,
        state=state,
        created_at=NOON,
        updated_at=NOON,
        **fields,
    )


@pytest.mark.parametrize(
    ("amount", "text"), [(None, "–"), (0.0, "free"), (0.004, "$0.0040"), (0.01, "$0.01"), (12.345, "$12.35")]
)
def test_money(amount: float | None, text: str) -> None:
    assert dollars(amount) == text


def test_an_estimate_of_one_amount_is_written_once() -> None:
    assert spread(2.0, 2.0) == "$2.00"
    assert spread(0, 0) == "free"
    assert spread(1.0, 2.5) == "$1.00 to $2.50"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3599.6, "1 h 0 min"),
        (7384, "2 h 3 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert spell_seconds(seconds) == text


@pytest.mark.parametrize(
    ("ago_s", "text"), [(5, "5 s ago"), (90, "2 min ago"), (7200, "2 h ago"), (200_000, "2 d ago"), (-9, "0 s ago")]
)
def test_moments(ago_s: float, text: str) -> None:
    assert since(datetime.now(UTC) - timedelta(seconds=ago_s)) == text


def test_a_duration_ends_when_the_job_does() -> None:
    assert duration(job(started_at=NOON, finished_at=NOON + timedelta(seconds=65))) == "1 min 5 s"
    assert duration(job()) == "–"


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (job(), "tune local:sandbox int8"),
        (job(label="rank=8"), "tune rank=8"),
        (job(ASK), "evaluate openai:gpt-4o"),
        (job(EvaluateSpec(provider="local", validation=DATA, tune_job="tune-1")), "evaluate the model of tune-1"),
        (job(SYNTHESIZE), "synthesize 1 rows (qa), gemini:m"),
    ],
)
def test_titles(one: Job, title: str) -> None:
    assert job_title(one) == title


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (job(), "running"),
        (job(wish=Wish.CANCEL), "running (cancel asked)"),
        (job(look=LOOK), "running (no answer)"),
        (job(state=State.PAUSED, wish=Wish.RESUME, look=LOOK), "paused (resume asked)"),
    ],
)
def test_a_state_tells_what_stands_beside_it(one: Job, text: str) -> None:
    assert state_words(one) == text


def test_a_cost_that_is_not_known_yet_is_a_bound() -> None:
    assert cost_words(job()) == "free"
    assert cost_words(job(reserved_usd=3.0)) == "≤ $3.00"
    assert cost_words(job(reserved_usd=3.0, cost_usd=2.5)) == "$2.50"


def test_a_paused_job_tells_what_was_paid() -> None:
    paused = job(state=State.PAUSED, reserved_usd=3.0, result={"cost_usd": 1.25})
    assert cost_words(paused) == "$1.25 so far"
    assert cost_words(replace(paused, result={"cost_usd": 0.0})) == "≤ $3.00"
    assert cost_words(replace(paused, state=State.RUNNING)) == "≤ $3.00"


def test_numbers() -> None:
    assert number(0.123456) == "0.1235"
    assert number("text") == "text"


def test_of_a_synthesis_a_short_line_shows_the_money_the_pace_and_the_time() -> None:
    data = {"rows": 3, "total_rows": 9, "requests_per_s": 17.61, "cost_usd": 0.5, "left_s": 42.0}
    told = progress_words({**data, "rejected": {"flesch": 2, "duplicate": 11}})
    assert told == (3, 9, "$0.50 · 17.6 requests/s · 42.0 s left · rejected: 11 duplicate, 2 flesch")
