"""Sort, filter, group and choose columns: the same table, looked at in another way."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from broker.errors import SpecError
from broker.results import Arrangement, ResultsTable, arrange, as_text, to_csv, to_json, to_markdown

if TYPE_CHECKING:
    from tests.unit.results.lab import Lab


def labels(table: ResultsTable) -> list[str]:
    return [row.label for row in table.rows]


def arranged(lab: Lab, **wishes: object) -> ResultsTable:
    return arrange(lab.table(), Arrangement(**wishes))  # type: ignore[arg-type]


ALL = ["sandbox", "sandbox (verbose)", "sandbox tuned", "=HYPERLINK(1)", "<b>mini</b>", "hot tuned"]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("conversational", ["sandbox tuned", "=HYPERLINK(1)", "sandbox (verbose)", "sandbox"]),
        ("conversational:asc", ["sandbox", "sandbox (verbose)", "=HYPERLINK(1)", "sandbox tuned"]),
        ("length", ["sandbox tuned", "=HYPERLINK(1)", "sandbox (verbose)", "sandbox"]),
        ("label", ["<b>mini</b>", "=HYPERLINK(1)", "hot tuned", "sandbox"]),
        ("label:desc", ["sandbox tuned", "sandbox (verbose)", "sandbox", "hot tuned"]),
        ("TRAIN_S", ["sandbox tuned", "=HYPERLINK(1)"]),
        ("learning_rate", ["sandbox tuned", "=HYPERLINK(1)"]),
    ],
)
def test_sort(full: Lab, sort: str, first: list[str]) -> None:
    assert labels(arranged(full, sort=sort))[: len(first)] == first


@pytest.mark.parametrize("way", ["asc", "desc"])
def test_rows_without_a_value_come_last_either_way(full: Lab, way: str) -> None:
    assert set(labels(arranged(full, sort=f"conversational:{way}"))[-2:]) == {"<b>mini</b>", "hot tuned"}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (("precision=int8",), ["sandbox tuned"]),
        (("precision = INT8",), ["sandbox tuned"]),
        (("rows>=100",), ALL[2:]),
        (("rows>100",), []),
        (("rows<=1,000", "provider=local"), ["sandbox tuned", "=HYPERLINK(1)", "hot tuned"]),
        (("provider!=local",), ["<b>mini</b>"]),
        (("label~TUNED",), ["sandbox tuned", "hot tuned"]),
        (("label!~tuned", "kind=tuned"), ["=HYPERLINK(1)", "<b>mini</b>"]),
        (("conversational>90",), ["sandbox tuned", "=HYPERLINK(1)"]),
        (("conversational>=97.5%",), ["sandbox tuned"]),
        (("lr==1e-3",), ["sandbox tuned", "=HYPERLINK(1)"]),
        (("lr!=0.001",), ["sandbox", "sandbox (verbose)", "<b>mini</b>", "hot tuned"]),
        (("policy=verbose",), ["sandbox (verbose)"]),
        (("label==HYPERLINK(1)",), []),
        (("label=nothing like it",), []),
    ],
)
def test_filter(full: Lab, filters: tuple[str, ...], kept: list[str]) -> None:
    table = arranged(full, filters=filters)
    assert labels(table) == kept
    assert sorted(kept + [row.label for row in table.hidden]) == sorted(ALL)


def test_filtering_changes_no_number(full: Lab) -> None:
    whole, some = full.table(), arranged(full, filters=("conversational<97",))
    assert some.comparisons == whole.comparisons
    assert [row for row in whole.rows if row in some.rows] == list(some.rows)
    assert "★" not in as_text(some, 120).split("Numbers in brackets")[0]
    assert "3 of 6 models shown (conversational<97); marks, letters and comparisons are those of all 6." in some.notes


def test_group_puts_rows_under_heads(full: Lab) -> None:
    table = arranged(full, group="precision", sort="conversational")
    heads = {section.title: [row.label for row in section.rows] for section in table.sections}
    assert heads == {
        "no precision": ["sandbox (verbose)", "sandbox", "<b>mini</b>", "hot tuned"],
        "precision int8": ["sandbox tuned"],
        "precision bf16": ["=HYPERLINK(1)"],
    }
    assert labels(table) == [label for section in heads.values() for label in section]


def test_groups_of_numbers_rise_and_bases_come_first(full: Lab) -> None:
    assert [section.title for section in arranged(full, group="rows").sections] == ["base models", "rows 100"]


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_the_terminal_shows_the_heads(full: Lab, width: int) -> None:
    lines = as_text(arranged(full, group="precision"), width).splitlines()
    places = [
        next(i for i, line in enumerate(lines) if line.strip() == head) for head in ("no precision", "precision int8")
    ]
    assert places == sorted(places)
    assert lines[places[1] + 1].startswith("sandbox tuned")


def test_columns_are_those_asked_for_in_that_order(full: Lab) -> None:
    table = arranged(full, columns=("cost", "learning_rate", "conversational"))
    head = next(line for line in as_text(table, 160).splitlines() if line.startswith("model"))
    assert head.split()[:3] == ["model", "cost", "lr"]
    assert "length" not in as_text(table, 160).split("95 %")[0]
    assert next(csv.reader(StringIO(to_csv(table))))[:3] == ["label", "cost", "lr"]
    assert to_markdown(table).splitlines()[2].startswith("| model | cost | lr | conversational (Flesch ≥ 60, % ↑) |")
    data = json.loads(to_json(table))
    assert [column["name"] for column in data["columns"]] == ["conversational"]
    assert {one["metric"] for one in data["comparisons"]} == {"conversational"}


def test_every_form_obeys(full: Lab) -> None:
    table = arranged(full, sort="conversational", filters=("kind=tuned", "state=succeeded"), group="precision")
    wanted = ["sandbox tuned", "'=HYPERLINK(1)"]
    rows = list(csv.DictReader(StringIO(to_csv(table))))
    assert [(row["label"], row["group"]) for row in rows] == list(
        zip(wanted, ["precision int8", "precision bf16"], strict=True)
    )
    data = json.loads(to_json(table))
    assert [row["group"] for row in data["rows"]] == ["precision int8", "precision bf16"]
    assert len(data["hidden"]) == 4
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "**precision int8**", "sandbox tuned", "**precision bf16**", "=HYPERLINK(1)",
    ]  # fmt: skip


def test_every_problem_is_told_at_once_with_the_nearest_name(full: Lab) -> None:
    with pytest.raises(SpecError) as caught:
        arranged(
            full,
            sort="conversationel",
            filters=("precision>3", "flop", "length>long"),
            group="cost",
            columns=("lenght",),
        )
    told = [(problem.where, problem.what) for problem in caught.value.problems]
    assert told == [
        ("--sort", "no column is called 'conversationel'"),
        ("--filter", "'precision>3': precision is text"),
        ("--filter", "'flop' compares nothing"),
        ("--filter", "'length>long': 'long' is not a number"),
        ("--group", "cost has a value of its own for every model"),
        ("--columns", "no column is called 'lenght'"),
    ]
    fixes = [problem.fix for problem in caught.value.problems]
    assert fixes[0].startswith("did you mean conversational?")
    assert fixes[5].startswith("did you mean length?")


def test_no_row_left_is_said(full: Lab) -> None:
    assert "no model meets the filter" in as_text(arranged(full, filters=("rows>100",)), 80)


def test_prices_of_the_parts_are_shown_where_there_is_room(lab: Lab) -> None:
    tuned = lab.tune(cost_usd=3.5)
    lab.evaluate({"conversational": [1.0] * 40}, tuned=tuned, cost_usd=0.25)
    lines = as_text(lab.table(), 200).splitlines()
    assert "$3.50" in "".join(lines)
    assert "$0.25" in "".join(lines)
    assert "$3.75" in "".join(lines)
    assert "$3.75" in as_text(lab.table(), 60)
