"""The frozen split: disjoint, whole, nested, and no validation prompt or near-duplicate of one is trained on."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.jobs.datasets.overlaps import THRESHOLD, clusters, overlap
from broker.jobs.rows import ChatRow, Dataset
from broker.jobs.spec import RowFormat
from broker.synthesis.splits import split_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = ("river", "stone", "cloud", "engine", "violin", "pepper", "harbour", "ladder", "candle", "meadow", "copper")


def dataset(prompts: Sequence[str]) -> Dataset:
    rows = tuple(
        ChatRow(
            messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": "It is so."}),
            line=line,
        )
        for line, prompt in enumerate(prompts, start=1)
    )
    return Dataset(name="made.jsonl", format=RowFormat.CHAT, rows=rows)


def part(whole: Dataset, places: Sequence[int]) -> Dataset:
    return Dataset(name=whole.name, format=whole.format, rows=tuple(whole.rows[place] for place in places))


@st.composite
def prompts(draw: st.DrawFn) -> list[str]:
    """Make prompts of which many are the same as others, or nearly so."""
    rng = Random(draw(st.integers(0, 10_000)))
    made: list[str] = []
    for number in range(draw(st.integers(1, 40))):
        said = " ".join(rng.choices(WORDS, k=12))
        base = f"What does case {number} tell about {said}"
        made.append(base)
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            same, near = f"{base.upper()} ?", f"{base}{rng.choice('abcxyz')}"
            made.append(rng.choice((same, near, near + "s")))
    rng.shuffle(made)
    return made


@settings(max_examples=60, deadline=None)
@given(made=prompts(), validation=st.one_of(st.floats(0, 0.9), st.integers(1, 30)), seed=st.integers(0, 5))
def test_split_is_whole_disjoint_nested_and_clean(made: list[str], validation: float, seed: int) -> None:
    whole = dataset(made)
    split = split_rows(whole, validation=validation, seed=seed)
    assert sorted((*split.validation, *split.train)) == list(range(len(made)))
    assert list(split.validation) == sorted(split.validation)
    wanted = round(len(made) * validation) if validation < 1 else int(validation)
    assert len(split.validation) <= wanted
    assert list(split.subsets) == sorted(set(split.subsets))
    assert all(0 < size < len(split.train) for size in split.subsets)
    assert overlap(part(whole, split.train), part(whole, split.validation), THRESHOLD) == []
    assert split_rows(whole, validation=validation, seed=seed) == split


@settings(max_examples=40, deadline=None)
@given(made=prompts())
def test_clusters_hold_every_row_once_and_whatever_is_alike_together(made: list[str]) -> None:
    whole = dataset(made)
    groups = clusters(whole)
    assert sorted(place for group in groups for place in group) == list(range(len(made)))
    where = {place: number for number, group in enumerate(groups) for place in group}
    for place in range(len(made)):
        others = [other for other in range(len(made)) if where[other] != where[place]]
        assert overlap(part(whole, others), part(whole, [place]), THRESHOLD) == []


def test_the_papers_sizes() -> None:
    """arXiv 2507.04889, 2.2: 10,000 rows, 1,000 held out, subsets of 100, 1,000 and 5,000 of 9,000."""
    rng = Random(7)
    whole = dataset([f"Case {n}: {' '.join(rng.choices(WORDS, k=9))} {rng.random()}" for n in range(10_000)])
    split = split_rows(whole, validation=0.1)
    assert (len(split.validation), len(split.train), split.subsets) == (1000, 9000, (100, 1000, 5000))
    assert split_rows(whole, validation=1000) == split
    other = split_rows(whole, validation=0.1, seed=1)
    assert other.validation != split.validation
    assert other.train[:100] != split.train[:100]


def test_sizes_of_ones_own_and_sizes_beyond_the_rows() -> None:
    whole = dataset([f"{word} {n}" * 3 for n, word in enumerate(WORDS)])
    split = split_rows(whole, validation=2, subsets=(50, 5, 5, 3))
    assert (len(split.validation), len(split.train), split.subsets) == (2, len(WORDS) - 2, (3, 5))


@pytest.mark.parametrize("validation", [0, 0.0])
def test_nothing_held_out_when_nothing_is_wanted(validation: float) -> None:
    split = split_rows(dataset(["one", "two", "three"]), validation=validation)
    assert split.validation == ()
    assert sorted(split.train) == [0, 1, 2]


def test_rows_of_one_source_text_stay_on_one_side() -> None:
    plain = dataset(
        [f"Question {number} about {WORDS[number % 11]} {'abcdefgh'[number % 8] * 20}" for number in range(60)]
    )
    sources = [{"sha256": f"{number // 3}"} if number < 30 else {} for number in range(60)]
    rows = tuple(
        replace(row, extra={"lineage": {"source": source}} if source else {})
        for row, source in zip(plain.rows, sources, strict=True)
    )
    whole = replace(plain, rows=rows)
    for seed in range(5):
        held = set(split_rows(whole, validation=20, seed=seed).validation)
        assert held
        assert all(len({place in held for place in range(3 * text, 3 * text + 3)}) == 1 for text in range(10))
    assert split_rows(plain, validation=20, seed=1).validation != split_rows(whole, validation=20, seed=1).validation
