"""Every command with a provider that makes its own remote: what people read, and what programs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal


@pytest.fixture
def done(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal where one job was made and judged."""

    def make() -> None:
        assert terminal.submit("--experiment", "tone").code == 0

    terminal.once(kept, make)
    return terminal


def tuning(terminal: Terminal) -> str:
    return str(next(job["id"] for job in terminal.jobs() if job["kind"] == "tune"))


def test_submit_follows_to_the_table(terminal: Terminal) -> None:
    told = terminal.submit("--experiment", "tone")
    assert told.code == 0
    assert "Results of tone" in told.out
    assert "succeeded" in told.err
    assert "broker results tone" in told.err
    assert f"broker chat {tuning(terminal)}" in told.err


def test_a_synthesis_is_not_the_newest_table(done: Terminal) -> None:
    done.write("prompts.jsonl", json.dumps({"prompt": "Tell me of figs."}) + "\n")
    words = (
        "--provider",
        "local",
        "--model",
        "sandbox-writer",
        "--pipeline",
        "tests.unit.synthesis.test_plan_problems:echoed",
    )
    told = done.here("submit", *words, "--source", "prompts.jsonl", "--rows", "1", "--output", "made")
    assert told.code == 0, told.err
    assert "Results of tone" in done.here("results").out
    assert "no models yet" in done.here("results", "synthesis-made").out
    assert "broker results --list" in done.here("results", "elsewhere").err


def test_submit_tells_programs_everything_at_once(terminal: Terminal) -> None:
    told = terminal.submit("--json")
    assert told.err == ""
    assert told.data.keys() == {"experiment", "warnings", "jobs", "tables"}
    assert [job["state"] for job in told.data["jobs"]] == ["succeeded"] * 3
    assert len(told.data["tables"][0]["rows"]) == 2


def test_the_same_job_is_not_made_twice(done: Terminal) -> None:
    first = tuning(done)
    told = done.submit("--experiment", "tone")
    assert f"the same job exists: {first} (succeeded)" in told.err
    assert len(done.jobs()) == 3
    assert done.submit("--experiment", "tone", "--again").code == 0
    assert tuning(done) != first


def test_a_dry_run_stores_and_sends_nothing(terminal: Terminal) -> None:
    told = terminal.submit("--dry-run", provider="paid")
    assert told.code == 0
    assert "evaluate the tuned model" in told.out
    assert "total: $2.00; nothing was sent" in told.out
    terminal.assert_nothing_left()
    plan = terminal.submit("--dry-run", "--json", provider="paid").data
    assert (plan["low_usd"], plan["high_usd"], len(plan["jobs"])) == (2.0, 2.0, 3)


def test_a_failed_job_says_why_once(terminal: Terminal) -> None:
    told = terminal.submit(provider="failing")
    assert told.code == 1
    (job,) = [job for job in terminal.jobs() if job["kind"] == "tune"]
    assert f"{job['id']} failed: {job['failure']['message']}" in told.err
    assert told.err.count("there is no model to ask") <= 1  # as the evaluation's state, not as a failure of its own
    assert "tuning failed" in told.out


def test_a_lost_job_tells_what_to_look_for(terminal: Terminal) -> None:
    told = terminal.submit(provider="lost")
    assert told.code == 4
    (job,) = [job for job in terminal.jobs() if job["kind"] == "tune"]
    assert f"broker adopt ITS-ID --job {job['id']}" in told.err
    assert job["intent_key"] in told.err


def test_jobs_one_line_each_in_a_pipe(done: Terminal) -> None:
    done.submit("--experiment", "an-experiment-with-quite-a-long-name", "--again", "--label", "a label of some length")
    lines = done.here("jobs").out.splitlines()
    for job in done.jobs():
        (line,) = [line for line in lines if line.strip().startswith(job["id"])]
        assert job["experiment"] in line
        assert job["state"] in line


def test_jobs_can_be_chosen(done: Terminal) -> None:
    done.submit("--experiment", "bad", provider="failing")
    assert {job["experiment"] for job in done.here("jobs", "--experiment", "bad", "--json").data} == {"bad"}
    assert [job["state"] for job in done.here("jobs", "--state", "failed", "--json").data] == ["failed"] * 2
    assert len(done.here("jobs", "--provider", "fake", "--limit", "2", "--offset", "1", "--json").data) == 2
    assert "0 of 6 jobs" in done.here("jobs", "--state", "lost").err


def test_status_by_the_beginning_of_an_id(done: Terminal) -> None:
    told = done.here("status", tuning(done)[:7])
    assert told.code == 0
    assert "train.jsonl, 20 rows" in told.out
    data = done.here("status", tuning(done), "--json").data
    assert data["intents"][0]["sends"] == 1
    assert done.here("--json", "status", tuning(done)).data == data


def test_logs(done: Terminal) -> None:
    told = done.here("logs", tuning(done))
    assert "to=succeeded" in told.out
    events = done.here("logs", tuning(done), "--json").data
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    streamed = done.here("logs", tuning(done), "--follow", "--json").out.splitlines()
    assert [json.loads(line) for line in streamed] == events
    assert done.here("logs", tuning(done), "--after", str(events[-1]["seq"]), "--json").data == []


def test_watch_without_unfinished_jobs(done: Terminal) -> None:
    assert "no unfinished jobs" in done.here("watch").err
    assert done.here("watch", "--json").data == {"jobs": [], "tables": []}


def test_watch_a_finished_job_shows_its_table(done: Terminal) -> None:
    told = done.here("watch", tuning(done))
    assert told.code == 0
    assert "Results of tone" in told.out
    assert len(done.here("watch", "--experiment", "tone", "--json").data["jobs"]) == 3


def test_watch_a_job_brings_the_evaluation_that_waits_for_it(done: Terminal) -> None:
    kinds = [job["kind"] for job in done.here("watch", tuning(done), "--json").data["jobs"]]
    assert sorted(kinds) == ["evaluate", "tune"]


@pytest.mark.parametrize("command", ["cancel", "pause"])
def test_a_job_that_has_ended_stays_as_it_is(done: Terminal, command: str) -> None:
    told = done.here(command, tuning(done))
    assert told.code == 0
    assert "is succeeded already" in told.err
    assert done.here(command, tuning(done), "--json").data["state"] == "succeeded"


def test_resume_of_a_job_that_succeeded(done: Terminal) -> None:
    told = done.here("resume", tuning(done))
    assert told.code == 0
    assert "has succeeded already" in told.err


def test_resume_of_a_failed_job_is_a_new_attempt(terminal: Terminal) -> None:
    terminal.submit(provider="failing")
    told = terminal.here("resume", tuning(terminal), "--json")
    assert told.code == 1
    assert {job["attempt"] for job in told.data["jobs"]} == {2}


def test_work_drives_until_nothing_is_left(done: Terminal) -> None:
    assert done.here("work").code == 0
    assert done.here("work", "--json").data == {"jobs": []}


def test_results_in_every_format(done: Terminal, tmp_path: Path) -> None:
    assert done.here("results").out == done.here("results", "tone").out
    assert done.here("results", "--json").data["experiment"] == "tone"
    assert done.here("results", "--csv").out.startswith("key,")
    assert "| model |" in done.here("results", "--markdown").out
    assert "<table" in done.here("results", "--html").out
    assert done.here("results", "--list", "--json").data[0]["jobs"] == 3
    assert "tone" in done.here("results", "--list").out
    assert done.here("results", "--output", "table.md", "--markdown").out == ""
    assert "| model |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert done.here("results", "--output", "table.txt").code == 0
    assert "Results of tone" in (tmp_path / "table.txt").read_text(encoding="utf-8")


def test_one_format_at_a_time(done: Terminal) -> None:
    assert done.here("results", "--csv", "--markdown").code == 2


def test_models_and_a_chat_with_one(done: Terminal) -> None:
    assert tuning(done) in done.here("models").out
    made = done.here("models", "--json").data["made"]
    assert made[0]["job"] == tuning(done)
    base = done.here("chat", "fake:fake-base", "--message", "Why?")
    tuned = done.here("chat", tuning(done), "-m", "Why?", "--system", "Be brief.", "--json")
    assert base.out.startswith("The aforementioned")
    assert tuned.data["answer"].startswith("Sure!")


def test_check(terminal: Terminal) -> None:
    told = terminal.here("check", "train.jsonl", "--validation", "validation.jsonl", "--provider", "fake")
    assert told.code == 0
    assert "train.jsonl: 20 chat rows" in told.out
    data = terminal.here("check", "train.jsonl", "--json").data
    assert (data["rows"], data["problems"]) == (20, [])
    leaking = terminal.here("check", "train.jsonl", "--validation", "train.jsonl")
    assert leaking.code == 2
    assert "error" in leaking.out


@pytest.mark.parametrize(
    "line",
    ["status nobody", "logs nobody", "cancel nobody", "watch nobody", "resume nobody", "export nobody -o x"],
)
def test_a_job_that_nobody_knows(done: Terminal, line: str) -> None:
    told = done.here(*line.split(), "--json")
    assert told.code == 2
    assert told.error["type"] == "UnknownNameError"
    assert "nobody" in told.error["message"]
    assert told.out == ""


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--epochs", "2"], {"epochs": 2}),
        (["--lr", "0.5"], {"learning_rate": 0.5}),
        (["--set", "epochs=3"], {"epochs": 3}),
    ],
)
def test_flags_reach_the_job(terminal: Terminal, flags: list[str], wanted: dict[str, Any]) -> None:
    told = terminal.submit(*flags, "--seed", "5", "--suffix", "mine", "--metadata", "team=a", "--no-evaluate", "--json")
    (job,) = told.data["jobs"]
    assert job["spec"]["parameters"] == wanted
    assert (job["spec"]["seed"], job["spec"]["suffix"], job["spec"]["metadata"]) == (5, "mine", {"team": "a"})


def test_defaults_come_from_the_settings(terminal: Terminal) -> None:
    defaults = {"provider": "fake", "train": "train.jsonl", "validation": "validation.jsonl"}
    given = "\n".join(f'{name} = "{value}"' for name, value in defaults.items())
    terminal.write("broker.toml", f'[defaults]\n{given}\nmetrics = ["length"]\n')
    assert terminal.here("submit", "--json").code == 0
