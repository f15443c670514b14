"""Prompts of one's own stand in the place of ours; what nobody could fill in or ask by is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import SpecError, UnknownNameError, UserError
from broker.synthesis.pipeline import open_pipeline
from broker.synthesis.prompting import prompts_of, shipped

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("question", "conversational", "simplify")


def test_a_prompt_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("You teach.\n---\nAsk about: {text}", encoding="utf-8")
    ours = shipped(OURS)
    found = prompts_of(OURS, tmp_path)
    assert found["simplify"] == ours["simplify"]
    assert found["question"].sha256 != ours["question"].sha256
    assert found["question"].messages({"text": "{x} oak"}) == (
        {"role": "system", "content": "You teach."},
        {"role": "user", "content": "Ask about: {x} oak"},
    )


def test_all_that_is_wrong_with_prompts_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("Ask about {txt}", encoding="utf-8")
    (tmp_path / "qestion.md").write_text("Ask", encoding="utf-8")
    (tmp_path / "conversational.md").write_text("Say it again: {question}", encoding="utf-8")
    (tmp_path / "simplify.md").write_bytes("Répète: {answer}".encode("latin-1"))
    with pytest.raises(SpecError) as caught:
        prompts_of(OURS, tmp_path)
    told = str(caught.value)
    files = [problem.where.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert sorted(files) == ["conversational.md", "qestion.md", "question.md", "question.md", "simplify.md"]
    assert "nothing can be filled in for {txt}" in told
    assert "question.md: the model would not see {text}" in told
    assert "conversational.md: the model would not see {answer}" in told
    assert "no such prompt" in told
    assert "save it as UTF-8" in told


def test_a_pipeline_of_ones_own_brings_prompts_of_its_own(tmp_path: Path) -> None:
    names = ("question", "riddle")
    with pytest.raises(SpecError, match=r"riddle\.md, and it is nowhere"):
        prompts_of(names)
    (tmp_path / "riddle.md").write_text("\ufeffA riddle about {title}", encoding="utf-8")
    found = prompts_of(names, tmp_path)
    assert found["riddle"].messages({"title": "rain"}) == ({"role": "user", "content": "A riddle about rain"},)
    (tmp_path / "riddle.md").write_text("  \n", encoding="utf-8")
    with pytest.raises(SpecError, match="the file is empty"):
        prompts_of(names, tmp_path)


def test_an_empty_folder_is_no_folder_of_prompts(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no prompt"):
        prompts_of(OURS, tmp_path)


def test_pipelines_are_found_by_name_and_the_nearest_is_told() -> None:
    assert open_pipeline("qa").prompts == OURS
    with pytest.raises(UnknownNameError) as caught:
        open_pipeline("preferences")
    assert "did you mean preference?" in caught.value.fix
    with pytest.raises(UnknownNameError):
        open_pipeline("broker.synthesis.pipelines.qa:nothing")
    with pytest.raises(UserError, match="not a Pipeline"):
        open_pipeline("broker.synthesis.pipelines.qa:QUESTION")
