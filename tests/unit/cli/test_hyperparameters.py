from __future__ import annotations

from typing import Any

import pytest

from broker.cli.hyperparameters import in_flags, named_parameters, parse_settings, parse_value
from broker.errors import Problem, SpecError
from broker.providers.contract import Capabilities, Parameter

CAPABILITIES = Capabilities(
    tuner=True,
    parameters=(
        Parameter(name="n_epochs", types=("int",)),
        Parameter(name="learning_rate", types=("float",)),
        Parameter(name="target_modules", types=("list", "str")),
    ),
)


def test_flags_become_the_provider_s_own_names() -> None:
    flags = {"epochs": "3", "lr": "2e-4", "target_modules": "q_proj,v_proj", "rank": None}
    wanted = {"n_epochs": 3, "learning_rate": 2e-4, "target_modules": ("q_proj", "v_proj")}
    assert named_parameters(flags, CAPABILITIES) == wanted


def test_a_flag_that_the_provider_does_not_know_keeps_its_name() -> None:
    assert named_parameters({"rank": "8"}, CAPABILITIES) == {"rank": 8}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("auto", "auto"),
        ('["a", 1]', ("a", "1")),
        ("null", "null"),
        ('{"a":1}', '{"a":1}'),
    ],
)
def test_values_are_numbers_where_they_read_like_numbers(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_metadata_stays_text_and_settings_are_parsed() -> None:
    assert parse_settings(["team=7", "note=a=b"], "--metadata") == {"team": "7", "note": "a=b"}
    assert parse_settings(["steps=7"], "--set") == {"steps": 7}


def test_every_setting_without_a_name_or_a_value_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        parse_settings(["good=1", "bad", "=2"], "--set")
    assert [problem.what for problem in caught.value.problems] == ["'bad' is not NAME=VALUE", "'=2' is not NAME=VALUE"]


@pytest.mark.parametrize(
    ("where", "ours"),
    [
        ("--learning-rate", "--lr"),
        ("--learning-rate-multiplier", "--lr-multiplier"),
        ("--n-epochs", "--epochs"),
        ("--rank", "--rank"),
        ("--warmup", "--set warmup"),
        ("train.jsonl:3", "train.jsonl:3"),
        ("--provider local", "--provider local"),
    ],
)
def test_problems_are_told_in_the_flags_that_a_person_can_type(where: str, ours: str) -> None:
    problem = Problem(where=where, what="w", fix="known: --n-epochs, --max-length")
    told = in_flags(problem, ["rank", "epochs", "lr"])
    assert told.where == ours
    assert told.fix == ("known: --epochs, --set max_length" if where.startswith("--") else problem.fix)
