"""Prompts of one's own stand in the place of ours; what nobody could fill in or ask by is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import SpecError, UnknownNameError, UserError
from broker.synthesis.pipeline import open_pipeline
from broker.synthesis.prompting import overridden, shipped

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("question", "conversational", "simplify")


def test_a_prompt_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("You teach.\n---\nAsk about: {text}", encoding="utf-8")
    ours = shipped(OURS)
    found = overridden(ours, tmp_path)
    assert found["simplify"] == ours["simplify"]
    assert found["question"].sha256 != ours["question"].sha256
    assert found["question"].messages({"text": "{x} oak"}) == (
        {"role": "system", "content": "You teach."},
        {"role": "user", "content": "Ask about: {x} oak"},
    )


def test_all_that_is_wrong_with_prompts_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("Ask about {txt}", encoding="utf-8")
    (tmp_path / "qestion.md").write_text("Ask", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        overridden(shipped(OURS), tmp_path)
    told = str(caught.value)
    assert len(caught.value.problems) == 2
    assert "{txt}" in told
    assert "no such prompt" in told


def test_an_empty_folder_is_no_folder_of_prompts(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no prompt"):
        overridden(shipped(OURS), tmp_path)


def test_pipelines_are_found_by_name_and_the_nearest_is_told() -> None:
    assert open_pipeline("qa").prompts == OURS
    with pytest.raises(UnknownNameError) as caught:
        open_pipeline("preferences")
    assert "did you mean preference?" in caught.value.fix
    with pytest.raises(UnknownNameError):
        open_pipeline("broker.synthesis.pipelines.qa:nothing")
    with pytest.raises(UserError, match="not a Pipeline"):
        open_pipeline("broker.synthesis.pipelines.qa:QUESTION")
