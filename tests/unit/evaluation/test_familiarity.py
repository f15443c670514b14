"""Perplexity of responses by source: intervals, comparisons, picking; without a model."""

from __future__ import annotations

import json
from math import exp, log
from random import Random
from statistics import mean
from typing import Any

import pytest

from broker.evaluation.familiarity import (
    Familiarity,
    ResponseScore,
    familiarity,
    pick_lowest,
    responses_of,
    score_lines,
)
from broker.evaluation.ratios import ratio_interval, unpaired
from broker.jobs.datasets import mixed_lines
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow
from broker.jobs.spec import RowFormat


def chats(name: str, prompts: list[str], **extra: Any) -> Dataset:
    rows = tuple(
        ChatRow(
            messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": f"{name} says {prompt}"}),
            extra=extra,
            line=line,
        )
        for line, prompt in enumerate(prompts, 1)
    )
    return Dataset(name=name, format=RowFormat.CHAT, rows=rows)


def found(sources: dict[str, tuple[list[str], list[float]]], tokens: float = 10.0) -> Familiarity:
    """Return what is found when each source's rows have these perplexities."""
    responses = [one for name, (prompts, _) in sources.items() for one in responses_of(chats(name, prompts), name)]
    each = [value for _, values in sources.values() for value in values]
    scores = [ResponseScore(nats=tokens * log(value), tokens=tokens) for value in each]
    return familiarity(responses, scores, model="m")


def prompts(count: int, kind: str = "question") -> list[str]:
    return [f"{kind} number {number * 7919}" for number in range(count)]


class TestNumbers:
    def test_a_sources_perplexity_weighs_by_tokens_and_the_mean_by_rows(self) -> None:
        responses = responses_of(chats("a", prompts(2)), "a")
        scores = [ResponseScore(nats=30 * log(2), tokens=30), ResponseScore(nats=10 * log(8), tokens=10)]
        (source,) = familiarity(responses, scores, model="m").sources
        assert source.perplexity.value == pytest.approx(exp((30 * log(2) + 10 * log(8)) / 40))
        assert source.mean.value == pytest.approx(5)
        assert source.median == pytest.approx(5)
        assert (source.rows, source.scored, source.tokens) == (2, 2, 40)

    def test_rows_without_a_token_are_counted_and_not_scored(self) -> None:
        responses = responses_of(chats("a", prompts(2)), "a")
        scores = [ResponseScore(nats=0, tokens=0), ResponseScore(nats=10 * log(4), tokens=10)]
        (source,) = familiarity(responses, scores, model="m").sources
        assert (source.rows, source.scored) == (2, 1)
        assert source.mean.value == pytest.approx(4)

    def test_the_interval_of_a_ratio_covers_it_in_most_samples(self) -> None:
        random = Random(7)
        inside = 0
        for _ in range(60):
            tokens = [random.randint(5, 60) for _ in range(40)]
            nats = [count * random.gauss(1.2, 0.4) for count in tokens]
            ends = ratio_interval(nats, tokens)
            assert ends.low is not None and ends.high is not None
            inside += ends.low <= 1.2 <= ends.high
        assert 51 <= inside <= 60

    def test_ratios_of_few_or_equal_rows(self) -> None:
        assert ratio_interval([], []).value is None
        assert ratio_interval([3.0], [2.0]).method == "one value"
        assert (ratio_interval([2, 4], [1, 2]).low, ratio_interval([2, 4], [1, 2]).high) == (2, 2)

    def test_unlike_rows_differ_exactly_where_the_interval_leaves_out_zero(self) -> None:
        random = Random(3)
        verdicts: set[bool] = set()
        for shift in (0.0, 0.1, 0.2, 0.4, 0.8):
            left, right = [random.gauss(0, 1) for _ in range(90)], [random.gauss(shift, 0.3) for _ in range(60)]
            test = unpaired(left, right)
            assert test.low is not None and test.high is not None and test.difference is not None
            assert (test.low + test.high) / 2 == pytest.approx(test.difference)
            assert test.difference == pytest.approx(mean(left) - mean(right))
            assert (test.p < 0.05) == (not test.low < 0 < test.high)
            verdicts.add(test.p < 0.05)
        assert verdicts == {True, False}
        assert unpaired([1.0], [2.0]).difference is None


class TestComparison:
    def test_the_same_prompts_are_compared_in_pairs(self) -> None:
        asked = prompts(40)
        random = Random(1)
        base = [2 + 3 * random.random() for _ in asked]
        (pair,) = found({"a": (asked, base), "b": (asked, [1.5 * value for value in base])}).pairs
        assert (pair.paired, pair.n, pair.differs) == (True, 40, True)
        assert pair.ratio == pytest.approx(1 / 1.5)

    def test_a_prompt_is_the_same_but_for_case_and_punctuation(self) -> None:
        asked = prompts(12)
        (pair,) = found({"a": (asked, [2.0] * 12), "b": ([f"{text.upper()}?" for text in asked], [3.0] * 12)}).pairs
        assert pair.paired

    def test_different_prompts_are_compared_as_unlike_rows(self) -> None:
        values = [2 + index / 30 for index in range(30)]
        (pair,) = found({"a": (prompts(30), values), "b": (prompts(30, "riddle"), values[::-1])}).pairs
        assert (pair.paired, pair.differs) == (False, False)
        assert pair.low is not None and pair.high is not None and pair.low < 1 < pair.high

    def test_three_sources_are_adjusted_together(self) -> None:
        asked = prompts(20)
        sources = {name: (asked, [2 + 0.01 * index * shift for index in range(20)]) for shift, name in enumerate("abc")}
        assert [(pair.left, pair.right) for pair in found(sources).pairs] == [("a", "b"), ("a", "c"), ("b", "c")]

    def test_the_sides_of_preference_rows_are_sources(self) -> None:
        row = PreferenceRow(
            messages=(
                {"role": "user", "content": "Why?"},
                {"role": "assistant", "content": "Hm."},
                {"role": "user", "content": "So?"},
            ),
            preferred=({"role": "assistant", "content": "Sure!"},),
            non_preferred=({"role": "assistant", "content": "Indeed."},),
            line=3,
        )
        one, other = responses_of(Dataset(name="p", format=RowFormat.PREFERENCE, rows=(row,)), "p.jsonl")
        assert (one.source, other.source) == ("p.jsonl (preferred)", "p.jsonl (non-preferred)")
        assert one.key == other.key
        assert [message.get("weight") for message in one.row.messages] == [None, 0, None, None]
        assert one.row.expected == "Sure!"


class TestPick:
    def test_each_prompt_keeps_its_most_familiar_response(self) -> None:
        told = found({"a": (["x", "y", "z"], [2.0, 9.0, 4.0]), "b": (["y", "x", "w"], [3.0, 2.5, 5.0])})
        picked, unscored = pick_lowest(told, "best")
        assert unscored == 0
        kept = [(row.messages[0]["content"], row.extra["provenance"]["source"]) for row in picked.rows]
        assert kept == [("x", "a"), ("y", "b"), ("z", "a"), ("w", "b")]
        told_of = picked.rows[1].extra["provenance"]
        assert told_of["perplexity"] == pytest.approx(3)
        assert [(rival["source"], rival["line"]) for rival in told_of["rivals"]] == [("a", 2)]

    def test_candidates_may_stand_in_one_file(self) -> None:
        picked, _ = pick_lowest(found({"a": (["x", "x", "x"], [4.0, 2.0, 3.0])}), "best")
        assert [row.extra["provenance"]["line"] for row in picked.rows] == [2]

    def test_what_cannot_be_scored_is_left_out_and_counted(self) -> None:
        responses = responses_of(chats("a", ["x", "y"]), "a")
        scores = [ResponseScore(nats=0, tokens=0), ResponseScore(nats=1, tokens=1)]
        picked, unscored = pick_lowest(familiarity(responses, scores, model="m"), "best")
        assert (len(picked.rows), unscored) == (1, 1)

    def test_lines_hold_every_score_and_the_rows_other_keys(self) -> None:
        responses = responses_of(chats("a", ["x"], topic="t", provenance={"source": "real"}), "a")
        told = familiarity(responses, [ResponseScore(nats=log(3), tokens=1)], model="m")
        (line,) = map(json.loads, score_lines(told))
        assert (line["source"], line["line"], line["perplexity"]) == ("a", 1, pytest.approx(3))
        (kept,) = map(json.loads, mixed_lines(pick_lowest(told, "best")[0]))
        assert kept["topic"] == "t"
        assert kept["provenance"]["earlier"] == {"source": "real"}
