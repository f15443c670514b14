from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from io import StringIO

import pytest

from broker.results import to_csv, to_data, to_html, to_json, to_markdown
from broker.results.export import safe
from tests.unit.results.lab import Lab, share

ROW_KEYS = {
    "key", "label", "kind", "provider", "model", "method", "precision", "policy", "rows_trained", "parameters", "state",
    "stage", "detail", "n", "failed", "empty", "cut", "metrics", "train_s", "eval_s", "tokens_per_s", "train_cost_usd",
    "eval_cost_usd", "judge_cost_usd", "cost_usd", "bases", "tune_job", "evaluation_job", "overlap",
    "validation_sha256",
    "group",
}  # fmt: skip
COMPARISON_KEYS = {
    "metric", "left", "right", "against", "n", "difference", "low", "high", "p", "p_adjusted", "different", "effect",
    "spread", "detectable", "method",
}  # fmt: skip


def test_json_has_its_documented_keys(full: Lab) -> None:
    data = json.loads(to_json(full.table()))
    assert set(data) == {
        "format", "experiment", "columns", "rows", "comparisons", "detectable", "preferences", "expenses", "conditions",
        "notes", "warnings", "arrangement", "hidden",
    }  # fmt: skip
    assert all(set(row) == ROW_KEYS for row in data["rows"])
    assert all(set(one) == COMPARISON_KEYS for one in data["comparisons"])
    assert set(data["columns"][0]) == {"name", "label", "unit", "direction", "kind", "version", "mixed"}
    assert set(data["detectable"][0]) == {"metric", "n", "now", "with_1000"}
    cell = data["rows"][0]["metrics"]["conversational"]
    assert set(cell) == {
        "value", "low", "high", "scored", "unscored", "best", "tied", "letters", "failure", "details", "breakdown",
    }  # fmt: skip


def test_json_numbers_are_in_the_unit_shown(full: Lab) -> None:
    data = to_data(full.table())
    tuned = next(row for row in data["rows"] if row["label"] == "sandbox tuned")
    assert tuned["metrics"]["conversational"]["value"] == 97.5
    assert tuned["metrics"]["conversational"]["low"] == pytest.approx(87.1, abs=0.05)
    against = next(
        one for one in data["comparisons"] if one["left"] == tuned["key"] and one["metric"] == "conversational"
    )
    assert against["difference"] == pytest.approx(77.5)
    assert data["conditions"]["validation_sha256"] == "ab12" * 16


def test_json_of_an_empty_table(lab: Lab) -> None:
    assert json.loads(to_json(lab.table()))["rows"] == []


def test_csv_reads_back(full: Lab) -> None:
    rows = list(csv.DictReader(StringIO(to_csv(full.table()))))
    assert len(rows) == 6
    tuned = next(row for row in rows if row["label"] == "sandbox tuned")
    assert float(tuned["conversational"]) == 97.5
    assert (tuned["conversational_best"], tuned["conversational_letters"], tuned["n"]) == ("True", "a", "40")
    running = next(row for row in rows if row["state"] == "running")
    assert (running["conversational"], running["n"]) == ("", "")


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "=cmd|' /C calc'!A0"]
)
def test_csv_holds_no_formula(text: str) -> None:
    assert safe(text) == f"'{text}"


def test_csv_leaves_numbers_alone() -> None:
    assert [safe(value) for value in (-1.5, 3, None, "plain", True)] == [-1.5, 3, "", "plain", True]


def test_csv_escapes_names_of_models(full: Lab) -> None:
    rows = list(csv.DictReader(StringIO(to_csv(full.table()))))
    assert "'=HYPERLINK(1)" in {row["label"] for row in rows}


def test_markdown_is_a_table(full: Lab) -> None:
    lines = [line for line in to_markdown(full.table()).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 6
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "**97.5** ★ a \\[87.1, 99.6\\]" in "\n".join(lines)


def test_markdown_escapes(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)}, label="a|b *c*\n<script>")
    assert "a\\|b \\*c\\* \\<script\\>" in to_markdown(lab.table())


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_calls_nobody(full: Lab) -> None:
    text = to_html(full.table())
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.links == []
    assert "script" not in reader.tags
    assert reader.tags.count("tr") == 1 + 6
    assert "url(" not in text
    assert "@import" not in text


def test_html_escapes_what_people_and_models_wrote(full: Lab) -> None:
    text = to_html(full.table())
    assert "<b>mini</b>" not in text
    assert "&lt;b&gt;mini&lt;/b&gt;" in text


def test_notebooks_show_it(full: Lab) -> None:
    assert full.table()._repr_html_() == to_html(full.table())  # pyright: ignore[reportPrivateUsage]  # as notebooks do


def test_no_text_steers_a_terminal(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)}, label="a\x1b[2Jname\x9b")
    assert "| a\\[2Jname |" in to_markdown(lab.table())
    assert "\x1b" not in to_json(lab.table())
