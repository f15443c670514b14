"""Reports of data files and of the folders that syntheses write; the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import UserError
from broker.sandbox import preference_rows, rows
from broker.synthesis.inspection import build_report
from broker.synthesis.outputs import read_output
from broker.synthesis.page import to_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.synthesis.report import DataReport

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def lineage(number: int) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "source": {"title": "Owl" if number % 3 else "Oak", "sha256": "ab", "index": number},
        "pipeline": "qa",
        "model": "local:sandbox-writer",
        "prompts": {"question": "3f2a", "conversational": "77b1" if number % 2 else "99c0"},
        "attempts": {"question": 1, "simplify": number % 3},
        "scores": {"flesch": 80.0, "nearest": 0.05 * (number % 15)},
        "input_tokens": 100,
        "output_tokens": 10,
        "cost_usd": 0.001,
    }


def write(path: Path, made: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a synthesis: 30 rows accepted, 5 rejected."""
    accepted = [{**row, "lineage": lineage(number)} for number, row in enumerate(rows("casual", 30, 2))]
    data = {"question": "Why?", "answer": HOSTILE}
    rejected = [
        {"id": f"x{n}", "reason": "too hard", "detail": "Flesch 12", "source": {"title": "Elm"}, "data": data}
        for n in range(4)
    ]
    rejected.append({"id": "y", "reason": "near-duplicate"})
    write(tmp_path / "rows.jsonl", accepted)
    write(tmp_path / "rejected.jsonl", rejected)
    manifest = {
        "pipeline": "qa",
        "model": "local:sandbox-writer",
        "requested": 30,
        "accepted": 30,
        "rejected": {"too hard": 4, "near-duplicate": 1},
        "files": {"rows.jsonl": {"sha256": "c0ffee", "rows": 30}},
        "cost_usd": 0.05,
        "input_tokens": 5000,
        "output_tokens": 600,
        "requests": 81,
        "possibly_paid_twice": 0,
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return tmp_path


def report(source: Path, **options: Any) -> DataReport:
    read = read_output(str(source))
    parts: dict[str, Any] = {"rejected": read.rejected, "manifest": read.manifest, "remarks": read.remarks}
    return build_report(read.name, read.dataset, **parts, **options)


class TestReport:
    def test_counts_of_a_synthesis(self, made: Path) -> None:
        found = report(made)
        assert (found.rows, found.rejected_rows) == (30, 5)
        assert found.rejected == (("too hard", 4), ("near-duplicate", 1))
        assert ("possibly paid twice", "0") in found.run
        assert ("cost", "0.0500 USD") in found.run
        assert found.files == (("rows.jsonl", "30", "c0ffee"),)
        assert found.remarks == ()

    def test_lineage_is_added_up(self, made: Path) -> None:
        found = report(made).lineage
        assert found is not None
        assert found.sources == (("Owl", 20), ("Oak", 10))
        assert found.prompts["conversational"] == (("77b1", 15), ("99c0", 15))
        assert found.attempts["simplify"] == ((0, 10), (1, 10), (2, 10))
        assert (found.input_tokens, found.output_tokens) == (3000, 300)
        assert found.cost_usd == pytest.approx(0.03)

    def test_histograms(self, made: Path) -> None:
        by_title = {shown.title: shown for shown in report(made).histograms}
        assert sum(by_title["Length of the answers"].counts["answers"]) == 30
        ease = by_title["Reading ease of the answers"]
        assert ease.shares["≥ 60"]["answers"] == 1
        assert sum(by_title["Nearest earlier question, when it was accepted"].counts["rows"]) == 30

    def test_near_duplicates_name_both_rows(self, tmp_path: Path) -> None:
        twice = rows("casual", 10, 4)
        (found,) = report(write(tmp_path / "d.jsonl", [*twice, twice[2]])).alike
        assert (found.rows, len(found.pairs)) == (1, 1)
        assert (found.pairs[0].line, found.pairs[0].earlier, found.pairs[0].similarity) == (11, 3, 1.0)

    def test_preference_rows_have_two_series(self, tmp_path: Path) -> None:
        found = report(write(tmp_path / "p.jsonl", preference_rows(20)))
        ease = next(shown for shown in found.histograms if shown.unit == "Flesch")
        preferred, other = ease.means["preferred"], ease.means["non-preferred"]
        assert preferred is not None and other is not None and preferred > other + 40
        assert set(found.diversity) == {"preferred", "non-preferred"}
        assert [who for who, _ in found.samples[0].turns] == ["user", "preferred", "non-preferred"]
        assert found.lineage is None

    def test_the_seed_draws_the_samples(self, made: Path) -> None:
        lines = [[sample.line for sample in report(made, samples=4, seed=seed).samples] for seed in (0, 0, 1)]
        assert lines[0] == lines[1] != lines[2]
        assert len(report(made, samples=99).samples) == 30

    def test_mixed_rows_tell_their_sources(self, tmp_path: Path) -> None:
        mixed = [{**row, "provenance": {"source": "real"}} for row in rows("casual", 3)]
        found = report(write(tmp_path / "m.jsonl", [*mixed, *rows("formal", 2, 9)])).lineage
        assert found is not None and found.provenance == (("real", 3),)


class TestLenience:
    def test_a_folder_with_rows_alone(self, made: Path) -> None:
        (made / "rejected.jsonl").unlink()
        (made / "manifest.json").unlink()
        found = report(made)
        assert found.rows == 30
        assert len(found.remarks) == 2

    def test_what_cannot_be_read_is_said(self, made: Path) -> None:
        with (made / "rejected.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"id": "torn", "rea\n[1]\n')
        (made / "manifest.json").write_text("{", encoding="utf-8")
        found = report(made)
        assert found.remarks == (
            "2 line(s) of rejected.jsonl cannot be read",
            "manifest.json cannot be read: nothing is known of the run as a whole",
        )
        assert found.rejected == (("too hard", 4), ("near-duplicate", 1))

    def test_no_row_was_accepted(self, made: Path) -> None:
        (made / "rows.jsonl").write_text("", encoding="utf-8")
        found = report(made)
        assert (found.rows, found.histograms, found.samples) == (0, (), ())
        assert "no row was accepted" in found.remarks
        assert to_page([found])

    def test_odd_values_in_lineage_and_manifest(self, made: Path) -> None:
        values: tuple[Any, ...] = (None, 7, [], {"scores": 3})
        odd = [{"lineage": value, **row} for value, row in zip(values, rows("casual", 4), strict=True)]
        write(made / "rows.jsonl", odd)
        (made / "manifest.json").write_text('{"rejected": "many", "files": 3, "cost_usd": "unknown"}', encoding="utf-8")
        found = report(made)
        assert found.rows == 4
        assert found.lineage is not None and found.lineage.rows == 1
        assert found.run == (("cost", "unknown"),)

    def test_what_a_pipeline_says_it_covered_is_shown(self, made: Path) -> None:
        coverage = {"personas": 15, "rare_rows": 6, "categories": {"doubt": 4, "habit": 1}, HOSTILE: {HOSTILE: HOSTILE}}
        (made / "manifest.json").write_text(json.dumps({"coverage": coverage}), encoding="utf-8")
        told = dict(report(made).run)
        assert (told["covered personas"], told["covered rare rows"]) == ("15", "6")
        assert told["covered categories (2)"] == "doubt (4), habit (1)"
        assert {"script", "img"}.isdisjoint(_Page(to_page([report(made)])).tags)

    def test_a_folder_without_rows_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no rows\.jsonl"):
            read_output(str(tmp_path))


class _Page(HTMLParser):
    """Collects tags, attributes and text, and complains about what is not closed."""

    VOID = frozenset({"meta", "line", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class TestPage:
    def test_it_is_whole_and_asks_nobody(self, made: Path) -> None:
        page = to_page([report(made)])
        read = _Page(page)
        assert {"script", "img", "link", "iframe"}.isdisjoint(read.tags)
        assert read.links == []
        assert "default-src 'none'; style-src 'unsafe-inline'" in page
        assert not re.search(r"url\(|@import|https?://", page)
        assert read.tags.count("svg") >= 5

    def test_what_data_say_stays_text(self, tmp_path: Path) -> None:
        hostile = {
            "messages": [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE * 3}],
            "lineage": {**lineage(1), "source": {"title": HOSTILE}, "model": HOSTILE, "prompts": {HOSTILE: HOSTILE}},
        }
        write(tmp_path / "rows.jsonl", [hostile, hostile])
        write(tmp_path / "rejected.jsonl", [{"reason": HOSTILE, "detail": HOSTILE, "data": {HOSTILE: HOSTILE}}])
        manifest = {"model": HOSTILE, "files": {HOSTILE: {"sha256": HOSTILE, "rows": HOSTILE}}, "coverage": HOSTILE}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        read = _Page(to_page([report(tmp_path)]))
        assert {"script", "img"}.isdisjoint(read.tags)
        assert read.text.count("alert(1)") >= 10

    def test_several_are_compared_at_the_top(self, made: Path, tmp_path: Path) -> None:
        other = report(write(tmp_path / "p.jsonl", preference_rows(20)))
        read = _Page(to_page([report(made), other]))
        assert read.links == ["#r0", "#r1", "#r1"]
        assert "2 data sets" in read.text
