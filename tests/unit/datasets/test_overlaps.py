"""Splits, overlap and the report."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from broker.errors import DataError
from broker.jobs.datasets import Overlap, check_dataset, overlap, split
from broker.jobs.datasets.overlaps import near_duplicates, prompt_key
from broker.jobs.rows import ChatRow, Dataset
from broker.jobs.spec import RowFormat
from broker.providers.contract import Capabilities


def chats(*prompts: str, name: str = "train.jsonl", answer: str = "Because.") -> Dataset:
    rows = tuple(
        ChatRow(
            messages=(
                {"role": "system", "content": "You are kind."},
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": answer},
            ),
            line=line,
        )
        for line, prompt in enumerate(prompts, 1)
    )
    return Dataset(name=name, format=RowFormat.CHAT, rows=rows)


def words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3000)]
    return [" ".join(rng.choices(vocabulary, k=rng.randint(4, 25))) for _ in range(count)]


def jaccard(left: str, right: str) -> float:
    sets = [{f" {text} "[i : i + 3] for i in range(len(text))} for text in (left, right)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_same_and_near_prompts() -> None:
    train = chats("Why is the sky blue during the day?", "How do bees make honey in their hive?", "What is 2+3?")
    asked = chats(
        "why is  the sky BLUE during the day",
        "How do bees make honey in their hives?",
        "What is 2-3?",
        "Something else entirely",
    )
    assert overlap(train, asked, 0.85) == [
        Overlap(
            train_line=1, validation_line=1, similarity=1.0, exact=True, prompt="why is the sky BLUE during the day"
        ),
        Overlap(
            train_line=2,
            validation_line=2,
            similarity=0.9444,
            exact=False,
            prompt="How do bees make honey in their hives?",
        ),
    ]


def test_a_finding_reads_as_one_line() -> None:
    (found,) = overlap(chats("a?", "Who?"), chats("who"))
    assert str(found) == 'line 1 "who" is the same as training line 2'


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 1.0])
def test_every_pair_is_found(threshold: float) -> None:
    rng = random.Random(5)
    base = words(120, 3)
    changed = [text.replace(rng.choice(text.split()), "xyz", rng.randint(0, 2)) for text in base[:60]]
    train, validation = chats(*base), chats(*changed, *words(20, 4))
    found = {entry.validation_line: entry.similarity for entry in overlap(train, validation, threshold)}
    keys = [prompt_key(row) for row in train.rows]
    best = {row.line: max(jaccard(prompt_key(row), key) for key in keys) for row in validation.rows}
    assert found == {line: round(most, 4) for line, most in best.items() if most >= threshold - 1e-12}


def test_ten_thousand_by_a_thousand_in_seconds() -> None:
    train, validation = chats(*words(10_000, 1)), chats(*words(1_000, 2))
    began = time.process_time()
    overlap(train, validation)
    assert time.process_time() - began < 8


def test_near_duplicates_within_a_set() -> None:
    found = near_duplicates(chats("How are you today, my friend?", "Who is it?", "how are you today my friends?"), 0.8)
    assert [(entry.train_line, entry.validation_line, entry.exact) for entry in found] == [(1, 3, False)]


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        overlap(chats("a"), chats("b"), threshold)


def test_split_is_seeded_complete_and_stable() -> None:
    dataset = chats(*words(100, 7))
    train, validation = split(dataset, validation_rows=20, seed=1)
    assert (len(train.rows), len(validation.rows)) == (80, 20)
    assert sorted(row.line for row in (*train.rows, *validation.rows)) == list(range(1, 101))
    assert split(dataset, fraction=0.2, seed=1) == (train, validation)
    assert split(dataset, validation_rows=20, seed=2)[1] != validation
    turned = split(replace(dataset, rows=dataset.rows[::-1]), validation_rows=20, seed=1)[1]
    assert {row.line for row in turned.rows} == {row.line for row in validation.rows}


def test_split_keeps_one_prompt_on_one_side() -> None:
    train, validation = split(chats(*words(20, 1), *words(20, 1)), validation_rows=10)
    assert len(validation.rows) == 10
    assert not overlap(train, validation)


@pytest.mark.parametrize("rows", [0, 3, 4])
def test_split_with_an_empty_side(rows: int) -> None:
    with pytest.raises(DataError, match="one side would be empty"):
        split(chats("a", "b", "c"), validation_rows=rows)
    with pytest.raises(ValueError, match="either"):
        split(chats("a", "b"))


def test_report_of_a_clean_set() -> None:
    report = check_dataset(chats(*words(20, 1)), validation=chats(*words(5, 2)), limits=Capabilities(min_rows=10))
    assert report.ok
    assert report.problems == ()
    assert (report.rows, report.tokens.exact) == (20, False)
    assert "0.9" in report.method


def test_report_names_everything() -> None:
    long = "very long question " * 50
    dataset = chats(
        "How are you today, my friend?", "Who?", "How are you today, my friend?", "how are you today my friend", long
    )
    limits = Capabilities(min_rows=10, max_rows=4, max_bytes=100, max_row_tokens=60)
    report = check_dataset(dataset, validation=chats("who", name="val.jsonl"), limits=limits, tokenizer_count=len)
    assert not report.ok
    assert [group.lines for group in report.duplicates] == [(1, 3)]
    assert [(entry.train_line, entry.validation_line) for entry in report.near_duplicates] == [(1, 4)]
    assert [(entry.train_line, entry.validation_line, entry.exact) for entry in report.leakage] == [(2, 1, True)]
    assert [row.line for row in report.truncated] == [1, 3, 4, 5] or [row.line for row in report.truncated] == [1, 3, 5]
    assert report.tokens.longest_line == 5
    assert report.tokens.exact
    errors = [problem.what for problem in report.problems if problem.severity == "error"]
    assert len(errors) == 4
    assert any("at least 10" in what for what in errors)
    assert any(problem.where == "val.jsonl:1" and "train.jsonl:2" in problem.what for problem in report.problems)
    assert all(problem.fix for problem in report.problems)
