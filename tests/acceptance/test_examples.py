"""Every example runs, offline, as its first lines say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.api import load_recipe
from broker.jobs.datasets import read_ratio
from broker.sandbox import source_sections
from broker.settings import load_settings
from broker.synthesis import open_pipeline
from tests.fakes.terminal import Terminal

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = ["03_follow_events.py", "04_own_metric.py", "05_plan_before_paying.py", "06_make_rows.py"]
SANDBOX = ["01_first_model.py", "sandbox.toml", "synthesis.toml"]
ELSEWHERE = {"02_openai_sdk_unchanged.py", "tone_of_voice.toml", "therapy.toml"}  # test_server_local.py; below


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def run(terminal: Terminal, name: str) -> str:
    (terminal.folder / "broker.toml").unlink()
    path = str(EXAMPLES / name)
    command = terminal.command("run", path) if name.endswith(".toml") else [sys.executable, path]
    environment = {**terminal.environment(), "COLUMNS": "160", "TMPDIR": str(terminal.folder)}
    done = subprocess.run(
        command, cwd=terminal.folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_example_is_run_somewhere() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".toml"}}
    assert found == {*QUICK, *SANDBOX, *ELSEWHERE}


def test_jobs_are_followed(terminal: Terminal) -> None:
    out = run(terminal, "03_follow_events.py")
    assert out.count("'to': 'succeeded'") == 2
    assert out.count("succeeded 40") == 3


def test_a_metric_of_one_s_own(terminal: Terminal) -> None:
    out = run(terminal, "04_own_metric.py")
    assert "has a contraction" in out
    assert "words of the expected answer" in out


def test_a_plan_and_a_budget(terminal: Terminal) -> None:
    out = run(terminal, "05_plan_before_paying.py")
    assert "refused: experiment planned: 4.00 USD" in out
    assert "3 jobs, 2.00 to 2.00 USD" in out
    assert "$2.00" in out.rpartition("Results of planned")[2]


def test_rows_of_a_pipeline_of_one_s_own(terminal: Terminal) -> None:
    out = run(terminal, "06_make_rows.py")
    assert "succeeded: 40 of 40 rows" in out
    assert "rejected: {'long': 1}" in out
    assert "36 rows in train.jsonl" in out
    assert "4 rows in validation.jsonl" in out


def test_the_source_texts_are_the_sandbox_s_own() -> None:
    path = EXAMPLES / "data" / "sections.jsonl"
    assert read_rows(path) == source_sections(150)
    assert path.stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_model(terminal: Terminal, sandbox_dir: Path) -> None:
    terminal.env["BROKER_CACHE_DIR"] = str(sandbox_dir.parents[1])
    out = run(terminal, "01_first_model.py")
    assert "sandbox" in out
    assert "int8" in out
    assert "40 prompts" in out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_small_recipe(terminal: Terminal, sandbox_dir: Path, encoder_dir: Path) -> None:
    assert sandbox_dir.parent == encoder_dir.parent
    terminal.env["BROKER_CACHE_DIR"] = str(sandbox_dir.parents[1])
    out = run(terminal, "sandbox.toml")
    assert "Results of sandbox" in out
    assert all(word in out for word in ("bf16", "int8", "sandbox-encoder", "a toy model"))
    rows = terminal.here("results", "sandbox", "--json").data["rows"]
    assert [row["n"] for row in rows] == [40] * 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rows_are_made_and_a_model_is_tuned_on_them(terminal: Terminal, sandbox_dir: Path, encoder_dir: Path) -> None:
    assert sandbox_dir.parent == encoder_dir.parent
    terminal.env["BROKER_CACHE_DIR"] = str(sandbox_dir.parents[1])
    copy = terminal.folder / "examples"
    shutil.copytree(EXAMPLES, copy)  # the rows are written beside the recipe
    out = run(terminal, str(copy / "synthesis.toml"))
    assert "Results of synthesis" in out
    made = {name: read_rows(copy / "made" / name) for name in ("train.jsonl", "validation.jsonl", "rows.jsonl")}
    assert [len(rows) for rows in made.values()] == [80, 20, 100]
    rows = terminal.here("results", "synthesis", "--json").data["rows"]
    assert [row["n"] for row in rows] == [20, 20]
    assert all(set(row["metrics"]) == {"conversational", "flesch", "similarity"} for row in rows)

    recipe = copy / "synthesis.toml"
    again = terminal.here("run", str(recipe), "--yes")
    assert (again.code, "rows are there" in again.err) == (0, True)
    recipe.write_text(recipe.read_text().replace("validation = 20", "validation = 30\nmin_flesch = 80"))
    other = terminal.here("run", str(recipe), "--yes")
    assert other.code == 2
    assert "made otherwise: validation 20, not 30; min_flesch 75.0, not 80" in " ".join(other.err.split())


def test_the_counselling_recipe_has_a_job_for_each_ratio() -> None:
    recipe = load_recipe(EXAMPLES / "therapy.toml")
    request = recipe.request()
    assert [mix.ratio for mix in request.mixes] == ["300:0", "300:100", "300:200", "300:400", "0:400"]
    assert [tuning.train for tuning in request.tunings] == [f"mix:{mix.name}" for mix in request.mixes]
    assert request.metrics == ("judge:empathy", "judge:relevance")
    (sessions,) = recipe.syntheses()
    assert {mix.synthetic for mix in request.mixes} == {f"{sessions.output}/train.jsonl"}
    made = open_pipeline(sessions.pipeline)
    assert sessions.options["domain"] == "therapy counselling"
    assert set(sessions.options) <= {parameter.name for parameter in made.parameters}
    assert sessions.rows >= max(read_ratio(mix.ratio)[1] for mix in request.mixes)


def test_the_paper_s_recipe_says_what_the_paper_says() -> None:
    request = load_recipe(EXAMPLES / "tone_of_voice.toml").request()
    local = [tuning for tuning in request.tunings if tuning.provider == "local"]
    paper = {
        "epochs": 5,
        "batch_size": 16,
        "grad_accum": 2,
        "dropout": 0.2,
        "rank": 64,
        "lr": 2e-4,
        "adapter_dtype": "bf16",
    }
    assert {tuning.parameters["precision"] for tuning in local} == {"bf16", "int8"}
    assert all(paper.items() <= dict(tuning.parameters).items() for tuning in local)
    remote = [tuning for tuning in request.tunings if tuning.provider == "openai"]
    assert [tuning.model for tuning in remote] == ["gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"]
    table_4 = {"n_epochs": 5, "batch_size": 32, "learning_rate_multiplier": 1.0}
    assert all((tuning.seed, dict(tuning.parameters)) == (713, table_4) for tuning in remote)
    assert request.policy.name == "concise"
    assert all([policy.name for policy in asked.policies] == ["concise", "verbose"] for asked in request.models)
    assert len(request.models) == 4


def test_the_paper_s_recipe_can_be_planned(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody")
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    assert load_settings().account("openai").api_key is not None
    plan = terminal.here("run", str(EXAMPLES / "tone_of_voice.toml"), "--dry-run", "--json")
    assert plan.code == 0, plan.err
    kinds = [job["kind"] for job in plan.data["jobs"]]
    assert (kinds.count("tune"), kinds.count("evaluate")) == (4, 12)
    assert plan.data["high_usd"] > 0
    terminal.assert_nothing_left()
