"""The rows that the project ships are what their README says."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

from broker.jobs.datasets import check_dataset, marked_split, overlap, read_dataset, to_canonical
from broker.jobs.rows import ChatRow
from broker.jobs.spec import RowFormat

DATA = Path(__file__).parents[3] / "examples" / "data"
SYSTEM = (
    "You are a helpful assistant. "
    "You answer questions in a natural, conversational tone, like in a spoken conversation."
)


@pytest.fixture(scope="module")
def rows() -> list[ChatRow]:
    return [row for row in read_dataset(DATA / "tone_of_voice.jsonl").rows if isinstance(row, ChatRow)]


def test_counts_keys_and_prompt(rows: list[ChatRow]) -> None:
    assert len(rows) == 240
    assert Counter(row.extra["split"] for row in rows) == {"train": 200, "validation": 40}
    assert set(Counter(row.extra["topic"] for row in rows).values()) == {10}
    held_out = Counter(row.extra["topic"] for row in rows if row.extra["split"] == "validation")
    assert len(held_out) == 24
    for row in rows:
        assert [message["role"] for message in row.messages] == ["system", "user", "assistant"]
        assert row.messages[0]["content"] == SYSTEM
        assert row.extra.keys() == {"formal", "topic", "split"}


def test_answers_are_conversational_and_formal(rows: list[ChatRow]) -> None:
    flesch = pytest.importorskip("textstat").flesch_reading_ease
    spoken = [flesch(row.expected) for row in rows]
    formal = [flesch(str(row.extra["formal"])) for row in rows]
    assert min(spoken) >= 75
    assert max(formal) < 60
    assert sum(score < 50 for score in formal) >= 230
    for row in rows:
        sentences = [part for part in re.split(r"(?<=[.!?])\s+", row.expected) if part]
        assert 1 <= len(sentences) <= 4, row.expected


def test_no_opening_is_worn_out(rows: list[ChatRow]) -> None:
    openings = Counter(row.expected.split()[0] for row in rows)
    assert max(openings.values()) <= 24
    assert len(openings) >= 80


def test_training_and_validation_do_not_overlap() -> None:
    train = read_dataset(DATA / "tone_of_voice.train.jsonl")
    validation = read_dataset(DATA / "tone_of_voice.validation.jsonl")
    assert overlap(train, validation, 0.7) == []
    report = check_dataset(train, validation=validation, threshold=0.7)
    assert report.problems == ()


def test_marks_give_the_shipped_files() -> None:
    parts = marked_split(read_dataset(DATA / "tone_of_voice.jsonl"))
    assert parts is not None
    for part, name in zip(parts, ("train", "validation"), strict=True):
        shipped = read_dataset(DATA / f"tone_of_voice.{name}.jsonl")
        assert [to_canonical(row) for row in part.rows] == [to_canonical(row) for row in shipped.rows]
        assert marked_split(shipped) is None


def test_the_script_makes_the_shipped_files(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("tone_split", DATA / "split.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == [f"tone_of_voice.{part}.jsonl" for part in ("preference", "train", "validation")]
    assert all((tmp_path / name).read_bytes() == (DATA / name).read_bytes() for name in made)
    preferences = read_dataset(DATA / "tone_of_voice.preference.jsonl", format=RowFormat.PREFERENCE)
    assert len(preferences.rows) == 200
