"""The catalog's rows, and what is looked up in them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalog import Catalog, Use
from broker.catalog.catalog import base_of
from broker.errors import SpecError

CATALOG = Catalog.load()
NOVEMBER = date(2026, 11, 21)
FACTS = Path(os.environ.get("BROKER_TEST_DATA", "/nowhere")) / "data" / "model_facts.json"


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_every_row_says_where_and_when_it_was_read() -> None:
    for rows in (CATALOG.models, CATALOG.prices, CATALOG.announcements):
        assert all(row.source and row.as_of >= date(2026, 11, 1) for row in rows)


def test_no_two_rows_say_the_same() -> None:
    for rows in (CATALOG.models, CATALOG.prices, CATALOG.announcements):
        keys = [row.key for row in rows]
        assert len(keys) == len(set(keys))


def test_no_name_stands_for_two_models() -> None:
    names = [(facts.kind, name) for facts in CATALOG.models for name in (facts.name, *facts.aliases)]
    assert len(names) == len(set(names))


def test_every_price_belongs_to_a_model_and_fits_its_use() -> None:
    for row in CATALOG.prices:
        facts = CATALOG.model(row.kind, row.model)
        assert facts is not None
        assert facts.name == row.model
        training = row.use is Use.TRAINING
        assert (row.training is not None, row.input is not None, row.output is not None) == (
            training, not training, not training,
        )  # fmt: skip


def test_every_successor_is_known_and_every_kind_has_one_default() -> None:
    for facts in CATALOG.models:
        assert all(CATALOG.model(facts.kind, name) for name in facts.successors)
    for kind in ("openai", "gemini", "local"):
        assert sum(facts.default for facts in CATALOG.of(kind)) == 1


def test_a_batch_costs_half() -> None:
    for row in CATALOG.prices:
        if row.use in {Use.BASE_BATCH, Use.TUNED_BATCH}:
            full = CATALOG.price(row.kind, row.model, row.use.removesuffix("_batch"))
            assert full is not None
            assert (row.input or 0) * 2 == pytest.approx(full.input)
            assert (row.output or 0) * 2 == pytest.approx(full.output)


@pytest.mark.skipif(not FACTS.is_file(), reason="the collected facts are not here (BROKER_TEST_DATA)")
def test_the_rows_say_what_was_collected() -> None:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    for model, day in facts["openai"]["base_model_shutdown"].items():
        if re.match(r"gpt-\d", model):
            assert str(CATALOG.model("openai", model).shutdown) == day  # type: ignore[union-attr]
    for model, prices in facts["openai"]["price_usd_per_1m"].items():
        if model == "source":
            continue
        training, tuned = CATALOG.price("openai", model, "training"), CATALOG.price("openai", model, "tuned")
        assert training is not None
        assert tuned is not None
        assert training.training == prices["training"]
        assert (tuned.input, tuned.cached_input, tuned.output) == (
            prices["ft_input"], prices["ft_cached"], prices["ft_output"],
        )  # fmt: skip
    for model, values in facts["gemini"].items():
        base = CATALOG.price("gemini", model, "base")
        assert base is not None
        assert (base.input, base.output) == (values["input"], values["output"])
    said = {str(row.on) for row in CATALOG.announcements if row.kind == "openai"}
    assert said == {day for day in facts["openai"]["fine_tuning_availability"] if day.startswith("20")}


# --- looking up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-mini-2024-07-18:org:tone:abc", "ft:gpt-4o-mini-2024-07-18:org:tone:abc"),
        ("something-new", "something-new"),
    ],
)
def test_a_name_is_pinned_to_its_snapshot(name: str, pinned: str) -> None:
    assert CATALOG.pin("openai", name) == pinned


def test_a_tuned_model_has_the_facts_of_its_base() -> None:
    tuned = CATALOG.model("openai", "ft:gpt-4.1-mini-2025-04-14:org::id:ckpt-step-10")
    assert tuned is CATALOG.model("openai", "gpt-4.1-mini")
    assert base_of("gpt-4o-mini") == "gpt-4o-mini"


def test_a_model_that_is_gone_names_what_lives() -> None:
    problem = CATALOG.shutdown("gemini", "gemini-2.0-flash-001", NOVEMBER)
    assert problem is not None
    assert problem.severity == "error"
    assert "was shut down on 2026-06-01" in problem.what
    assert problem.fix == "use gemini-3.5-flash-lite, gemini-3.8-flash"


def test_a_successor_that_is_gone_too_is_not_named() -> None:
    before, after = date(2026, 11, 30), date(2026, 12, 1)
    assert not CATALOG.gone("gemini", "gemini-2.5-flash", before)
    assert CATALOG.gone("gemini", "gemini-2.5-flash", after)
    assert "gemini-2.5-flash" not in CATALOG.alternatives("gemini", "some-other", after)


def test_an_end_in_sight_is_a_warning_for_the_tuned_model_too() -> None:
    problem = CATALOG.shutdown("openai", "ft:gpt-4o-mini-2024-07-18:o::x", NOVEMBER)
    assert problem is not None
    assert problem.severity == "warning"
    assert "2027-01-14" in problem.what
    assert CATALOG.shutdown("openai", "gpt-4o-mini", date(2026, 1, 1)) is None


@pytest.mark.parametrize(
    ("kind", "name"), [("gemini", "gemini-3.8-flash"), ("openai", "unheard-of"), ("local", "/a/b")]
)
def test_nothing_stands_against_a_model_without_an_end(kind: str, name: str) -> None:
    assert CATALOG.shutdown(kind, name, NOVEMBER) is None


def test_a_gated_model_names_open_ones() -> None:
    name = CATALOG.default("local")
    facts = CATALOG.model("local", name)
    assert facts is not None
    assert facts.gated
    assert "HF_TOKEN" in facts.note
    others = [CATALOG.model("local", other) for other in CATALOG.alternatives("local", name, NOVEMBER)]
    assert others
    assert all(other and not other.gated for other in others)


def test_what_openai_announced_is_a_warning_until_it_closes() -> None:
    now = CATALOG.announcements_for("openai", "tuning", NOVEMBER)
    assert [problem.severity for problem in now] == ["warning", "warning", "warning"]
    later = CATALOG.announcements_for("openai", "tuning", date(2027, 1, 6))
    assert [problem.severity for problem in later] == ["warning", "warning", "error"]
    assert "--provider local" in later[-1].fix
    assert CATALOG.announcements_for("openai", "answering", NOVEMBER) == []
    assert CATALOG.announcements_for("openai", "tuning", date(2026, 1, 1)) == []


# --- money ------------------------------------------------------------------------------------------------------------


def test_costs_are_tokens_times_price_and_say_their_row() -> None:
    cost = CATALOG.training_cost("openai", "gpt-4o-mini", 2_000_000)
    assert cost is not None
    assert cost.usd == pytest.approx(6.0)
    assert "gpt-4o-mini-2024-07-18 (training)" in cost.basis
    assert "2026-11-20" in cost.basis
    tuned = CATALOG.answer_cost("openai", "ft:gpt-4o-mini-2024-07-18:o::x", input_tokens=10**6, output_tokens=10**6)
    assert tuned is not None
    assert tuned.usd == pytest.approx(1.5)


def test_cached_tokens_have_their_own_price() -> None:
    name = "ft:gpt-4.1-mini-2025-04-14:o::x"
    cost = CATALOG.answer_cost("openai", name, input_tokens=10**6, output_tokens=0, cached_tokens=10**6)
    assert cost is not None
    assert cost.usd == pytest.approx(0.2)


def test_an_unknown_price_is_not_free() -> None:
    assert CATALOG.training_cost("openai", "unheard-of", 10) is None
    assert CATALOG.answer_cost("openai", "gpt-6-luna", input_tokens=1, output_tokens=1) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.booleans())
def test_a_batch_is_never_dearer(tokens_in: int, tokens_out: int, tuned: bool) -> None:
    name = "ft:gpt-4o-mini-2024-07-18:o::x" if tuned else "gpt-4o-mini"
    full = CATALOG.answer_cost("openai", name, input_tokens=tokens_in, output_tokens=tokens_out)
    half = CATALOG.answer_cost("openai", name, input_tokens=tokens_in, output_tokens=tokens_out, batch=True)
    assert full is not None
    assert half is not None
    assert half.usd == pytest.approx(full.usd / 2)


# --- a person's own file ----------------------------------------------------------------------------------------------

OWN = """
[[model]]
kind = "openai"
name = "gpt-4o-mini-2024-07-18"
aliases = ["gpt-4o-mini"]
shutdown = 2028-01-01
source = "my contract"
as_of = 2026-11-21

[[price]]
kind = "nebius"
model = "llama"
use = "base"
input = 1
output = 2
source = "their page"
as_of = 2026-11-21
"""


def test_own_rows_lie_over_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text(OWN, encoding="utf-8")
    catalog = Catalog.load(path)
    assert len(catalog.models) == len(CATALOG.models)
    assert catalog.shutdown("openai", "gpt-4o-mini", NOVEMBER) is None
    cost = catalog.answer_cost("nebius", "llama", input_tokens=10**6, output_tokens=10**6)
    assert cost is not None
    assert cost.usd == pytest.approx(3.0)


def test_every_problem_of_an_own_file_comes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    rows = [
        '[[model]]\nkind = "x"\nname = "y"',  # no source, no date
        '[[model]]\nkind = "x"\nname = "z"\nsource = "s"\nas_of = 2026-01-01\nshutdwn = 2027-01-01',
        '[[model]]\nkind = 3\nname = "z"\nsource = "s"\nas_of = 2026-01-01T00:00:00',
        '[[price]]\nkind = "x"\nmodel = "y"\nuse = "free"\ninput = -1\nsource = "s"\nas_of = 2026-01-01',
        "[[prize]]\nkind = 1",
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        Catalog.load(path)
    text = str(caught.value)
    for hint in (
        "[[model]] 1: 'source' is missing", "[[model]] 1: 'as_of' is missing", "did you mean shutdown?",
        "[[model]] 3: kind = 3", "[[model]] 3: as_of", "[[price]] 1: use = 'free'", "[[price]] 1: input = -1",
        "unknown table [[prize]]",
    ):  # fmt: skip
        assert hint in text


@pytest.mark.parametrize("text", ["[model", "model = 1", "model = [1]", "[model]\nkind = 'x'"])
def test_an_own_file_of_another_shape_is_a_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=str(path)):
        Catalog.load(path)


def test_an_own_file_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        Catalog.load(tmp_path / "none.toml")


def test_the_shipped_file_is_plain_toml() -> None:
    from importlib.resources import files

    assert tomllib.loads(files("broker.catalog").joinpath("catalog.toml").read_text(encoding="utf-8"))
