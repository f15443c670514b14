"""The rule-based writer: every task, schemas, and how often its gates pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from broker.evaluation.flesch import flesch
from broker.jobs.datasets.overlaps import near_duplicates
from broker.jobs.rows import ChatRow, Dataset
from broker.jobs.spec import RowFormat
from broker.sandbox import facts, source_sections
from broker.sandbox.writer import TASKS, write
from tests.fakes.gemini_writer import answer

GATE = 75
SIMPLIFICATIONS = 3
RUBRIC = ("empathy", "relevance")
PARTS = {
    "Text": "The old mill was built in 1802 by the river. It is a museum of engineering today, and many see it.",
    "Question": "What is the mill?",
    "Answer": "According to the available documentation, the mill is a museum.",
    "Answer A": "Sure! It's a place where you can see how things work.",
    "Answer B": "The establishment constitutes a museum of engineering.",
    "Prompt": "How do I learn the violin?",
    "Domain": "counselling: sleep, work and family",
    "Persona": '{"name": "Edda", "concern": "lies awake because of work"}',
    "Scenario": '{"title": "A choice about work", "situation": "There are two ways to go on with work."}',
    "Count": "5",
    "Turns": "5",
    "Rubric": "- empathy: is it warm?\n- relevance: does it answer?",
}


def prompt(task: str, **parts: str) -> str:
    sections = {**PARTS, **{name.replace("_", " "): text for name, text in parts.items()}}
    return "\n".join([f"Task: {task}", "Do it well.", *(f"### {title}\n{text}" for title, text in sections.items())])


def said(task: str, seed: int = 0, **parts: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(write(prompt(task, **parts), seed=seed))
    return told


def ease(text: str) -> float:
    score = flesch(text)
    assert score is not None
    return score


def outcome(text: str) -> tuple[str, int | None]:
    """Return the question on a text, and after how many simplifications its answer passes the gate; None: never."""
    asked = json.loads(write(f"Task: question\n### Text\n{text}"))
    question, told = asked["question"], asked["answer"]
    told = json.loads(write(f"Task: conversational\n### Question\n{question}\n### Answer\n{told}"))["answer"]
    for count in range(SIMPLIFICATIONS + 1):
        if ease(told) >= GATE:
            return question, count
        told = json.loads(write(f"Task: simplify\n### Question\n{question}\n### Answer\n{told}", seed=count))["answer"]
    return question, None


def share_of_repeats(questions: list[str]) -> float:
    rows = [
        ChatRow(messages=({"role": "user", "content": text}, {"role": "assistant", "content": "-"}), line=line)
        for line, text in enumerate(questions, 1)
    ]
    found = near_duplicates(Dataset(name="questions", format=RowFormat.CHAT, rows=tuple(rows)))
    return len(found) / len(questions)


def gates(texts: list[str]) -> tuple[float, float, float, float]:
    """Return the shares that pass at once, later, never, and the share of questions nearly asked before."""
    outcomes = [outcome(text) for text in texts]
    counts = Counter(count for _, count in outcomes)
    never, at_once = counts[None] / len(texts), counts[0] / len(texts)
    return at_once, 1 - at_once - never, never, share_of_repeats([question for question, _ in outcomes])


class TestGates:
    def test_generated_sections(self) -> None:
        at_once, later, never, _ = gates([row["text"] for row in source_sections(150, seed=4)])
        assert 0.4 <= at_once <= 0.7
        assert 0.2 <= later <= 0.5
        assert 0.03 <= never <= 0.2

    @pytest.mark.skipif(not os.environ.get("BROKER_TEST_DATA"), reason="BROKER_TEST_DATA is not set")
    def test_wikipedia(self) -> None:
        path = Path(os.environ["BROKER_TEST_DATA"]) / "data" / "wikipedia_sections.jsonl"
        sections = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        at_once, later, never, repeats = gates([row["text"] for row in sections if len(row["text"]) >= 700])
        assert 0.3 <= at_once <= 0.6
        assert 0.3 <= later <= 0.6
        assert 0.05 <= never <= 0.2
        assert repeats <= 0.02


class TestSections:
    def test_they_are_long_formal_and_tell_every_fact(self) -> None:
        sections = source_sections(180, seed=1)
        assert len({section["title"] for section in sections}) == 180
        for section in sections:
            told = [fact for fact in facts("train") if fact.topic == section["title"].lower()]
            assert len(section["text"]) >= 700
            assert all(fact.value in section["text"] for fact in told)
            assert ease(section["text"]) < 50

    def test_the_same_seed_gives_the_same_sections_and_splits_are_apart(self) -> None:
        assert source_sections(20, 3) == source_sections(20, 3)
        assert source_sections(20, 3) != source_sections(20, 4)
        train = {section["title"] for section in source_sections(200)}
        assert not train & {section["title"] for section in source_sections(40, topics="validation")}

    def test_topics_come_again_in_other_words(self) -> None:
        texts = [section["text"] for section in source_sections(360)]
        assert len(set(texts)) == 360


class TestTasks:
    def test_a_question_on_the_sandbox_is_in_its_own_words(self) -> None:
        values = {fact.value for fact in facts()}
        for section in source_sections(30, seed=2):
            told = said("question", Text=section["text"])
            assert section["title"].lower() in told["question"].lower()
            assert any(value in told["answer"] for value in values)
            assert ease(told["answer"]) < 75

    def test_a_casual_answer_keeps_the_fact(self) -> None:
        for section in source_sections(30, seed=3):
            asked = said("question", Text=section["text"])
            casual = said("conversational", Question=asked["question"], Answer=asked["answer"])["answer"]
            told = [
                fact for fact in facts() if fact.topic == section["title"].lower() and fact.value in asked["answer"]
            ]
            assert any(fact.value in casual for fact in told)

    def test_seeds_ask_for_different_things(self) -> None:
        text = source_sections(1)[0]["text"]
        assert len({said("question", seed, Text=text)["question"] for seed in range(12)}) >= 5

    def test_a_question_is_about_its_text(self) -> None:
        told = said("question", Text="The Vistula is the longest river of Poland, and it flows past Warsaw to the sea.")
        assert "Vistula" in told["question"]
        assert "longest river" in told["answer"]

    def test_simplifying_makes_easier(self) -> None:
        hard = (
            "Sure! The subsequent construction of the considerable fortifications, which were established in 1749 by "
            "numerous inhabitants, required approximately eleven years, although most of the stone was available."
        )
        easier = said("simplify", Answer=hard)["answer"]
        assert ease(easier) > ease(hard) + 10
        assert "fortifications" in easier

    def test_human_like_is_easier_than_formal(self) -> None:
        for asked in ("How do I learn the violin?", "What does the owl eat?", "Why is the sky blue over Paris?"):
            human, formal = said("human-like", Prompt=asked)["answer"], said("formal", Prompt=asked)["answer"]
            assert ease(human) > ease(formal) + 30
        assert "mice and voles" in said("human-like", Prompt="What does the owl eat?")["answer"]

    def test_personas_and_scenarios(self) -> None:
        people = said("personas", Count="10")["personas"]
        assert len(people) == len({person["name"] for person in people}) == 10
        assert sum(person["rare"] for person in people) == 2
        assert any(part in people[0]["concern"] for part in ("sleep", "work", "family"))
        scenes = said("scenarios", Count="10")["scenarios"]
        assert len({scene["title"] for scene in scenes}) >= 8
        assert sum(scene["rare"] for scene in scenes) == 2

    def test_nobody_is_invented_twice(self) -> None:
        known: set[str] = set()
        for _ in range(30):
            people = said("personas", Count="10", Already_there="\n".join(sorted(known)))["personas"]
            new = {person["name"] for person in people}
            assert len(new) == 10
            assert not new & known
            known |= new

    def test_scenes_that_are_known_do_not_come_again_while_there_are_others(self) -> None:
        first = {scene["title"] for scene in said("scenarios", Count="8")["scenarios"]}
        told = said("scenarios", Count="8", Already_there="\n".join(sorted(first)))
        assert not first & {scene["title"] for scene in told["scenarios"]}

    def test_a_conversation_alternates_and_tells_of_its_persona(self) -> None:
        messages = said("conversation")["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * 3
        assert "Edda lies awake because of work" in messages[0]["content"]

    def test_a_judge_rewards_warmth_and_relevance(self) -> None:
        warm = said("judge", Answer="Sure, I'm glad you ask! The mill is a place where you can see how things work.")
        cold = said("judge", Answer="Comprehensive documentation of agricultural legislation.")
        assert warm["empathy"] > cold["empathy"]
        assert warm["relevance"] > cold["relevance"]
        assert all(0 <= warm[name] <= 10 for name in RUBRIC)
        assert said("judge", Answer="")["empathy"] == 0

    def test_a_comparison_does_not_look_at_the_order(self) -> None:
        first, second = PARTS["Answer A"], PARTS["Answer B"]
        assert said("pairwise")["winner"] == "A"
        assert said("pairwise", Answer_A=second, Answer_B=first)["winner"] == "B"
        assert said("pairwise", Answer_A=first, Answer_B=first)["winner"] == "tie"

    def test_a_source_may_have_headings_of_its_own(self) -> None:
        text = "### History\nThe tower was finished in 1889 by many careful workers in Paris."
        assert "tower" in said("question", Text=text)["question"]

    def test_without_a_task_it_says_what_it_is(self) -> None:
        assert "works by rules" in write("What is a birch?") or "work by rules" in write("What is a birch?")


SCHEMAS: dict[str, dict[str, Any]] = {
    "question": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    "judge": {
        "type": "object",
        "properties": {
            "scores": {"$ref": "#/$defs/scores"},
            "reason": {"type": "string", "maxLength": 40},
            "verdict": {"enum": ["good", "bad"]},
        },
        "required": ["scores", "reason", "verdict"],
        "$defs": {
            "scores": {
                "type": "object",
                "properties": {name: {"type": "integer", "minimum": 0, "maximum": 10} for name in RUBRIC},
                "required": [*RUBRIC],
            }
        },
    },
    "personas": {
        "type": "object",
        "properties": {
            "personas": {
                "type": "array",
                "minItems": 7,
                "maxItems": 7,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "age": {"type": "integer"},
                        "traits": {"type": "array", "items": {"type": "string"}},
                        "rare": {"type": "boolean"},
                        "nickname": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    },
                    "required": ["name", "age", "traits", "rare", "nickname"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["personas"],
    },
    "pairwise": {"type": "object", "properties": {"winner": {"type": "string", "enum": ["A", "B", "tie"]}}},
}


class TestSchemas:
    @pytest.mark.parametrize("task", sorted(SCHEMAS))
    def test_the_answer_fits(self, task: str) -> None:
        told = json.loads(write(prompt(task), schema=SCHEMAS[task]))
        jsonschema.validate(told, SCHEMAS[task])

    def test_scores_are_found_where_the_schema_wants_them(self) -> None:
        flat, nested = said("judge"), json.loads(write(prompt("judge"), schema=SCHEMAS["judge"]))
        assert nested["scores"] == {name: flat[name] for name in RUBRIC}

    def test_an_unknown_task_fits_too(self) -> None:
        jsonschema.validate(json.loads(write("hello", schema=SCHEMAS["judge"])), SCHEMAS["judge"])

    def test_gemini_spells_types_in_capitals(self) -> None:
        schema = {"type": "OBJECT", "properties": {"answer": {"type": "STRING"}}, "required": ["answer"]}
        request = {
            "contents": [{"role": "user", "parts": [{"text": prompt("simplify")}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema, "seed": 7},
        }
        assert json.loads(answer(request)) == json.loads(write(prompt("simplify"), seed=7))


def test_every_task_answers_alike_in_another_process() -> None:
    prompts = [prompt(task) for task in TASKS]
    code = (
        "import json, sys; from broker.sandbox.writer import write; "
        "print(json.dumps([write(text) for text in json.loads(sys.argv[1])]))"
    )
    command = [sys.executable, "-c", code, json.dumps(prompts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [write(text) for text in prompts]
