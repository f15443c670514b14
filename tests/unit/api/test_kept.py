"""Tests of two models are computed once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.api.kept import KeptTests
from broker.evaluation.scoring import summarise
from broker.evaluation.shares import compare_results
from broker.results import build_table, to_data
from tests.unit.results.lab import FLESCH, Lab, share

if TYPE_CHECKING:
    from pathlib import Path

LEFT = summarise(FLESCH, [float(i % 7) for i in range(60)], 60)
RIGHT = summarise(FLESCH, [float(i % 5) for i in range(60)], 60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "results" / "tests" / "tone.json"
    first = KeptTests(found)
    assert first(LEFT, RIGHT) == compare_results(LEFT, RIGHT)
    first.save()
    return found


def changed(path: Path) -> None:
    """Write another p value, by which one sees what was read."""
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({key: {**test, "p": 0.123} for key, test in kept.items()}))


def test_what_was_found_is_found_again(path: Path) -> None:
    again = KeptTests(path)(LEFT, RIGHT)
    assert again == compare_results(LEFT, RIGHT)
    changed(path)
    assert KeptTests(path)(LEFT, RIGHT) == replace(again, p=0.123)


def test_other_values_or_another_question_are_computed(path: Path) -> None:
    changed(path)
    kept = KeptTests(path)
    other = replace(RIGHT, values=(*RIGHT.values[:-1], 3.5))
    assert kept(LEFT, other) == compare_results(LEFT, other)
    assert kept(RIGHT, LEFT) == compare_results(RIGHT, LEFT)
    assert kept(LEFT, RIGHT, interval=False) == compare_results(LEFT, RIGHT, interval=False)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_file_that_cannot_be_read_is_none(path: Path, text: str) -> None:
    path.write_text(text)
    kept = KeptTests(path)
    assert kept(LEFT, RIGHT) == compare_results(LEFT, RIGHT)
    kept.save()
    changed(path)
    assert KeptTests(path)(LEFT, RIGHT).p == 0.123


def test_a_folder_that_takes_nothing_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file stands in the way")
    kept = KeptTests(tmp_path / "results" / "tests" / "tone.json")
    kept(LEFT, RIGHT)
    kept.save()


def test_a_table_of_kept_tests_is_the_same_table(tmp_path: Path) -> None:
    lab = Lab()
    for passed in (10, 20, 21):
        lab.evaluate({"conversational": share(passed), "flesch": [float(i % passed) for i in range(40)]})
    plain = to_data(lab.table())
    for _ in range(2):
        kept = KeptTests(tmp_path / "tone.json")
        assert to_data(build_table(lab.experiment, lab.jobs, lab.results, test=kept)) == plain
        kept.save()


def test_each_comparison_is_told_whether_computed_or_kept() -> None:
    lab = Lab()
    for i in range(4):
        lab.evaluate({"conversational": share(i), "flesch": [float(i * n % 9) for n in range(40)]}, label=f"m{i}")
    for all_pairs in (False, True):
        told: list[tuple[int, int]] = []

        def tell(done: int, total: int, to: list[tuple[int, int]] = told) -> None:
            to.append((done, total))

        build_table(lab.experiment, lab.jobs, lab.results, all_pairs=all_pairs, on_test=tell)
        # Four models are six pairs in each of two metrics: for the letters every pair is tested.
        assert told == [(n + 1, 12) for n in range(12)]
