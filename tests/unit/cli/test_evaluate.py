"""`broker eval`: models that are there already land in the table like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.cli.evaluate import read_policies
from broker.errors import SpecError
from broker.evaluation.policies import named_policies

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal


def test_models_land_in_the_table_of_the_same_validation_set(terminal: Terminal) -> None:
    assert terminal.submit().code == 0
    (tuned,) = [job["id"] for job in terminal.jobs() if job["kind"] == "tune"]
    models = ("--model", "fake:ft:other:mine", "--model", "paid:fake-base", "--model", tuned)
    told = terminal.here("eval", "--validation", "validation.jsonl", *models, "--json")
    assert told.code == 0, told.err
    rows = told.data["tables"][0]["rows"]
    assert [(row["provider"], row["model"], row["kind"]) for row in rows] == [
        ("fake", "fake-base", "base"),
        ("paid", "fake-base", "base"),
        ("fake", "ft:other:mine", "tuned"),
        ("fake", "fake-base", "tuned"),
    ]
    # The job's model was judged by its own submit: it is not asked again.
    assert len([job for job in terminal.jobs() if job["kind"] == "evaluate"]) == 4
    assert terminal.here("eval", "--validation", "validation.jsonl", *models).code == 0
    assert len(terminal.jobs()) == 5


def test_a_model_tuned_elsewhere_is_held_against_its_base(terminal: Terminal) -> None:
    models = ("--model", "fake:ft:fake-base:org::id", "--model", "fake:fake-base")
    told = terminal.here("eval", "--validation", "validation.jsonl", "--metric", "conversational", *models, "--json")
    base, tuned = told.data["tables"][0]["rows"]
    assert tuned["bases"] == [base["key"]]
    assert (tuned["train_cost_usd"], tuned["cost_usd"]) == (None, 0.0)


def test_every_model_under_every_policy(terminal: Terminal) -> None:
    terminal.write("brief.txt", "Be brief.\n")
    policies = ("--policy", "as-is", "--policy", "paper-verbose", "--policy", "brief=@brief.txt", "--policy", "none=")
    models = ("--model", "fake:a", "--model", "fake:ft:b")
    told = terminal.here("eval", "--validation", "validation.jsonl", *models, *policies, "--json")
    assert told.code == 0, told.err
    rows = told.data["tables"][0]["rows"]
    assert sorted(row["policy"] for row in rows) == sorted(["as-is", "paper-verbose", "brief", "none"] * 2)
    said = told.data["tables"][0]["conditions"]["policies"]
    assert (said["brief"], said["none"], said["as-is"]) == ("Be brief.", "", None)
    assert "Flesch Reading Ease Score of above 60" in said["paper-verbose"]


def test_the_papers_prompts_are_data_with_their_source() -> None:
    concise, verbose = (str(named_policies()[name].system) for name in ("paper-concise", "paper-verbose"))
    assert verbose.startswith(concise)
    assert len(concise.split()) == 18


def test_a_recipe_may_name_them_too(terminal: Terminal) -> None:
    recipe = 'validation = "validation.jsonl"\n[[models]]\nprovider = "fake"\npolicies = ["as-is", "paper-concise"]\n'
    terminal.write("recipe.toml", recipe)
    told = terminal.here("run", "recipe.toml", "--json")
    assert [row["policy"] for row in told.data["tables"][0]["rows"]] == ["as-is", "paper-concise"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["paper"], "no policy is called 'paper'"),
        (["=text"], "no policy is called"),
        (["as-is=text"], "'as-is' is taken"),
        (["x=@nowhere.txt"], "nowhere.txt cannot be read"),
        (["x=a", "x=b"], "two policies are called 'x'"),
    ],
)
def test_bad_policies(texts: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=said) as caught:
        read_policies(texts)
    assert all(problem.fix for problem in caught.value.problems)


def test_all_bad_names_at_once_and_nothing_is_left(terminal: Terminal) -> None:
    models = ("--model", "opnai:x", "--model", "tune-nothere", "--model", "fake:fine")
    told = terminal.here("eval", "--validation", "validation.jsonl", *models)
    assert told.code == 2
    assert "did you mean openai:x?" in told.err
    assert "tune-nothere" in told.err
    assert "fake:fine" not in told.err
    terminal.assert_nothing_left()


def test_what_is_missing(terminal: Terminal) -> None:
    told = terminal.here("eval", "--json")
    assert told.code == 2
    assert told.error["message"] == "missing: --model, --validation"


def test_a_base_without_an_adapter(terminal: Terminal) -> None:
    told = terminal.here("eval", "--validation", "validation.jsonl", "--model", "fake:a", "--base", "b")
    assert told.code == 2
    assert "--base" in told.err


def test_a_dry_run_stores_nothing(terminal: Terminal) -> None:
    told = terminal.here("eval", "--validation", "validation.jsonl", "--model", "fake:a", "--dry-run")
    assert told.code == 0
    assert "evaluate fake:a" in told.out
    terminal.assert_nothing_left()


def test_names_are_not_taken_for_pictures(terminal: Terminal) -> None:
    told = terminal.here("eval", "--validation", "validation.jsonl", "--model", "fake:ft:x:bug:id")
    assert told.code == 0
    assert "ft:x:bug:id" in told.out
    assert "ft:x:bug:id" in told.err
