"""Pairwise judging: both orders, several samples, nothing asked twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.errors import UnavailableError
from broker.evaluation.judging.asking import JUDGEMENTS, Judge
from broker.evaluation.pairwise import Answered, judge_pair, pair_questions
from broker.evaluation.preference import Pair, PreferenceResult, Source
from broker.jobs.spec import JudgeSpec
from broker.providers.asking import Answer, CompletionRequest
from broker.sandbox.writer.prompts import read_prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio
PAIR = Pair(experiment="tone", left="eval-a", right="eval-b", left_label="warm", right_label="cold")
SPEC = JudgeSpec(provider="openai", model="judge-1", samples=2)


def answered(row: int, left: str | None = "good", right: str | None = "bad") -> Answered:
    return Answered(row=str(row), prompt=({"role": "user", "content": f"Question {row}"},), left=left, right=right)


def shown(request: CompletionRequest) -> tuple[str, str, str]:
    """Return the question and the answers A and B that a judge sees."""
    read = read_prompt(str(request.messages[-1]["content"]))
    question, first, second = (read.section(title) for title in ("question", "answer a", "answer b"))
    return question.removeprefix("> "), first.removeprefix("> "), second.removeprefix("> ")


def says(winner: str) -> str:
    return json.dumps({"winner": winner, "reason": "because"})


def fair(request: CompletionRequest) -> str:
    """Prefer `good` to `bad`, wherever it stands; everything else is a tie."""
    _, first, second = shown(request)
    return says("A" if (first, second) == ("good", "bad") else "B" if (first, second) == ("bad", "good") else "tie")


class Replies:
    def __init__(self, say: Callable[[CompletionRequest], str | Answer], *, stop_after: int | None = None) -> None:
        self.say = say
        self.asked: list[CompletionRequest] = []
        self.stop_after = stop_after

    def __call__(self) -> Replies:
        return self

    async def complete(self, requests: Sequence[CompletionRequest]) -> AsyncIterator[Answer]:
        for request in requests:
            if len(self.asked) == self.stop_after:
                raise UnavailableError("the line is dead")
            self.asked.append(request)
            said = self.say(request)
            yield said if isinstance(said, Answer) else Answer(id=request.id, text=said, cost_usd=0.25)

    async def aclose(self) -> None: ...


async def compare(
    judge: Replies, rows: Sequence[Answered], folder: Path, pair: Pair = PAIR, spec: JudgeSpec = SPEC
) -> PreferenceResult:
    return await judge_pair(pair, rows, Judge(spec, judge, folder / JUDGEMENTS))


async def test_a_fair_judge(tmp_path: Path) -> None:
    judge = Replies(fair)
    rows = [answered(0), answered(1, "bad", "good"), answered(2), answered(3, "so so", "meh")]
    result = await compare(judge, rows, tmp_path)
    assert [verdict.winner for verdict in result.rows] == ["left", "right", "left", "tie"]
    assert (result.n, result.wins, result.losses, result.ties, result.win_rate) == (4, 2, 1, 1, 0.625)
    assert (result.source, result.by) == (Source.JUDGE, "openai:judge-1")
    assert (result.swaps, result.flips, result.position_bias) == (8, 0, 0.0)
    assert (result.agreement, result.alpha) == (1.0, 1.0)
    assert len(judge.asked) == 4 * 2 * 2
    assert result.cost_usd == 4.0
    assert result.remarks == ()
    assert result.made_by == {"samples": 2, "temperature": 1.0, "max_tokens": 512, "seed": 0, "prompt": 1}


async def test_every_pair_is_shown_in_both_orders(tmp_path: Path) -> None:
    judge = Replies(fair)
    await compare(judge, [answered(0)], tmp_path)
    assert sorted((shown(request), request.decoding.seed) for request in judge.asked) == [
        (("Question 0", "bad", "good"), 0),
        (("Question 0", "bad", "good"), 1),
        (("Question 0", "good", "bad"), 0),
        (("Question 0", "good", "bad"), 1),
    ]


@pytest.mark.parametrize(("always", "bias", "place"), [("A", 0.5, "first"), ("B", -0.5, "second")])
async def test_a_judge_who_sees_only_the_place_decides_nothing_and_is_said(
    tmp_path: Path, always: str, bias: float, place: str
) -> None:
    result = await compare(Replies(lambda _: says(always)), [answered(i) for i in range(5)], tmp_path)
    assert (result.ties, result.win_rate, result.p, result.position_bias) == (5, 0.5, 1.0, bias)
    assert result.flips == result.swaps == 10
    assert result.remarks == (f"the judge leans to the answer shown {place} (100% of its verdicts for one)",)


async def test_equal_answers_tie_and_nobody_is_asked(tmp_path: Path) -> None:
    judge = Replies(fair)
    result = await compare(judge, [answered(0, "same  text", "same text"), answered(1)], tmp_path)
    assert len(judge.asked) == 4
    assert [verdict.winner for verdict in result.rows] == ["tie", "left"]
    assert (result.n, result.ties, result.swaps) == (2, 1, 2)


async def test_a_row_without_an_answer_has_no_verdict(tmp_path: Path) -> None:
    result = await compare(Replies(fair), [answered(0, None), answered(1, right=None), answered(2)], tmp_path)
    assert (result.n, result.unscored, result.failures) == (1, 2, {"a model gave no answer": 2})


async def test_a_reply_without_a_verdict_is_no_tie(tmp_path: Path) -> None:
    def mute(request: CompletionRequest) -> str:
        question, first, _ = shown(request)
        return "Hm." if question == "Question 0" and first == "good" else fair(request)

    result = await compare(Replies(mute), [answered(0), answered(1)], tmp_path)
    assert (result.n, result.wins, result.unscored) == (1, 1, 1)
    assert result.failures == {"unreadable: no winner in 'Hm.'": 2}
    assert result.remarks == ("2 of 8 replies of the judge hold no verdict",)


@pytest.mark.parametrize("killed_after", range(0, 9, 2))
async def test_no_stored_verdict_is_asked_again_also_from_the_other_side(tmp_path: Path, killed_after: int) -> None:
    rows = [answered(0), answered(1, "bad", "good")]
    first = Replies(fair, stop_after=killed_after)
    if killed_after < 8:
        with pytest.raises(UnavailableError):
            await compare(first, rows, tmp_path)
    else:
        await compare(first, rows, tmp_path)
    second = Replies(fair)
    result = await compare(second, rows, tmp_path)
    assert len(first.asked) + len(second.asked) == 8
    assert result.cost_usd == 2.0
    third = Replies(fair)
    turned = [answered(int(row.row), row.right, row.left) for row in rows]
    mirrored = await compare(third, turned, tmp_path, PAIR.turned())
    assert third.asked == []
    expected = result.turned()
    assert (mirrored.rows, mirrored.pair, mirrored.cost_usd) == (expected.rows, expected.pair, expected.cost_usd)
    assert mirrored.low == pytest.approx(expected.low)


async def test_more_samples_ask_only_for_the_new_ones(tmp_path: Path) -> None:
    await compare(Replies(fair), [answered(0)], tmp_path)
    more = Replies(fair)
    spec = JudgeSpec(provider="openai", model="judge-1", samples=3)
    await compare(more, [answered(0)], tmp_path, spec=spec)
    assert [request.decoding.seed for request in more.asked] == [2, 2]
    assert await Judge(spec, more, tmp_path / JUDGEMENTS).missing(pair_questions([answered(0)], spec)) == []


async def test_a_wavering_judge_is_said(tmp_path: Path) -> None:
    def waver(request: CompletionRequest) -> str:
        return fair(request).translate({65: 66, 66: 65}) if request.decoding.seed else fair(request)

    result = await compare(Replies(waver), [answered(i) for i in range(6)], tmp_path)
    assert result.alpha is not None
    assert result.alpha < 0
    assert any("agree poorly" in remark for remark in result.remarks)
    assert (result.ties, result.flips) == (6, 0)


async def test_a_criterion_of_ones_own_is_another_question(tmp_path: Path) -> None:
    judge = Replies(fair)
    asking = Judge(SPEC, judge, tmp_path / JUDGEMENTS)
    await judge_pair(PAIR, [answered(0)], asking)
    result = await judge_pair(PAIR, [answered(0)], asking, criterion="Which one is shorter?")
    assert len(judge.asked) == 8
    assert "Which one is shorter?" in str(judge.asked[-1].messages[-1]["content"])
    assert result.made_by["criterion"] == "Which one is shorter?"
    assert result.cost_usd == 1.0
